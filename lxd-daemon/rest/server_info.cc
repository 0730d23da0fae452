#include "lxd-daemon/rest/server_info.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/route.h"
#include "profiles/config_keys.h"
#include "storage/driver.h"

namespace lxmgr::rest {
namespace {

/// A value of /etc/os-release (os-release(5)), without quotes.
std::string os_release(const std::string& text, std::string_view key) {
    for (const auto& line : split(text, '\n')) {
        if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != '=') continue;
        const std::string_view value = trim(std::string_view(line).substr(key.size() + 1));
        const bool quoted = value.size() >= 2 && (value.front() == '"' || value.front() == '\'');
        return std::string(quoted ? value.substr(1, value.size() - 2) : value);
    }
    return "";
}

/// LXD's names of what the kernel can run.
nlohmann::json architectures(const std::string& machine) {
    if (machine == "x86_64") return {"x86_64", "i686"};
    if (machine == "aarch64") return {"aarch64", "armv7l"};
    return {machine};
}

nlohmann::json fixed_environment() {
    utsname system{};
    ::uname(&system);
    const std::string release = read_file("/etc/os-release").value_or("");
    nlohmann::json supported = nlohmann::json::array();
    for (const auto& driver : storage::drivers()) {
        supported.push_back({{"Name", driver.name}, {"Version", driver.version}, {"Remote", false}});
    }
    return {{"addresses", nlohmann::json::array()},
            {"architectures", architectures(system.machine)},
            {"certificate", ""},
            {"certificate_fingerprint", ""},
            {"driver", "lxc"},
            {"driver_version", LXMGR_VERSION},
            {"firewall", "nftables"},
            {"kernel", system.sysname},
            {"kernel_architecture", system.machine},
            {"kernel_features", nlohmann::json::object()},
            {"kernel_version", system.release},
            {"lxc_features", nlohmann::json::object()},
            {"os_name", os_release(release, "NAME")},
            {"os_version", os_release(release, "VERSION_ID")},
            {"project", "default"},
            {"server", "lxmgr"},
            {"server_clustered", false},
            {"server_event_mode", "full-mesh"},
            {"server_name", system.nodename},
            {"server_pid", ::getpid()},
            {"server_version", LXMGR_VERSION},
            {"storage_supported_drivers", supported}};
}

std::string version_of(const std::string& driver) {
    for (const auto& entry : storage::drivers()) {
        if (entry.name == driver) return std::string(entry.version);
    }
    return "";
}

/// "dir | overlay" and "1 | 1": the drivers of the pools there are, as LXD writes them.
void add_storage(nlohmann::json& environment, const std::vector<database::PoolPtr>& pools) {
    std::vector<std::string> names;
    for (const auto& pool : pools) names.push_back(pool->driver);
    std::ranges::sort(names);
    names.erase(std::ranges::unique(names).begin(), names.end());
    std::vector<std::string> versions;
    for (const auto& name : names) versions.push_back(version_of(name));
    environment["storage"] = fmt::format("{}", fmt::join(names, " | "));
    environment["storage_version"] = fmt::format("{}", fmt::join(versions, " | "));
}

}  // namespace

ServerInfo::ServerInfo(database::Database& database)
    : database_(database), environment_(fixed_environment()) {}

std::shared_ptr<const ServerInfo::View> ServerInfo::view() const {
    auto config = database_.server_config().all();
    auto pools = database_.pools().list();
    const std::lock_guard lock(mutex_);
    if (cache_.view && cache_.config == config && cache_.pools == pools) return cache_.view;
    nlohmann::json environment = environment_;
    add_storage(environment, pools);
    const nlohmann::json shown{{"config", config},        {"api_extensions", api_extensions()},
                               {"api_status", "stable"},  {"api_version", "1.0"},
                               {"auth", "trusted"},       {"public", false},
                               {"auth_methods", {"tls"}}, {"environment", environment}};
    auto view = std::make_shared<View>();
    view->envelope = Response::sync(shown).body;
    view->etag = etag_of(nlohmann::json{{"config", config}});
    cache_ = {std::move(config), std::move(pools), view};
    return view;
}

api::ConfigMap ServerInfo::config() const { return database_.server_config().all(); }

Result<> ServerInfo::replace_config(const api::ConfigMap& config) {
    LX_TRY(profiles::validate_server_config(config));
    return database_.server_config().replace(config);
}

}  // namespace lxmgr::rest
