#include "lxd-daemon/rest/server_info.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/auth/password.h"
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

/// By LXD's names. We run on no kernel that is older than 5.15, which has all of these; shiftfs was Ubuntu's.
nlohmann::json kernel_features() {
    return {{"idmapped_mounts", "true"},            // 5.12
            {"netnsid_getifaddrs", "true"},         // 5.0
            {"seccomp_listener", "true"},           // 5.0
            {"seccomp_listener_continue", "true"},  // 5.5
            {"shiftfs", "false"},
            {"uevent_injection", "true"},  // 4.18
            {"unpriv_fscaps", "true"}};    // 4.14
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
            {"kernel_features", kernel_features()},
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

/// Every key stays, without what it says.
void blank(nlohmann::json& environment) {
    for (auto& value : environment) {
        if (value.is_string()) value = "";
        if (value.is_boolean()) value = false;
        if (value.is_number()) value = 0;
        if (value.is_structured()) value = nullptr;
    }
}

constexpr const char* kPassword = "core.trust_password";
constexpr const char* kHidden = "true";

}  // namespace

ServerInfo::ServerInfo(database::Database& database)
    : database_(database), environment_(fixed_environment()) {}

std::shared_ptr<const ServerInfo::View> ServerInfo::view(std::vector<std::string> addresses) const {
    auto config = this->config();
    auto pools = database_.pools().list();
    const std::lock_guard lock(mutex_);
    if (cache_.view && cache_.config == config && cache_.pools == pools && cache_.addresses == addresses)
        return cache_.view;
    nlohmann::json environment = environment_;
    environment["addresses"] = addresses;
    add_storage(environment, pools);
    nlohmann::json shown{{"config", config},        {"api_extensions", api_extensions()},
                         {"api_status", "stable"},  {"api_version", "1.0"},
                         {"auth", "trusted"},       {"public", false},
                         {"auth_methods", {"tls"}}, {"environment", environment}};
    auto view = std::make_shared<View>();
    view->envelope = Response::sync(shown).body;
    shown["config"] = nullptr;
    view->restricted = Response::sync(shown).body;
    shown["auth"] = "untrusted";
    blank(shown["environment"]);
    view->untrusted = Response::sync(shown).body;
    view->etag = etag_of(nlohmann::json{{"config", config}});
    cache_ = {std::move(config), std::move(pools), std::move(addresses), view};
    return view;
}

void ServerInfo::set_certificate(const auth::Certificate& certificate) {
    const std::lock_guard lock(mutex_);
    environment_["certificate"] = certificate.pem;
    environment_["certificate_fingerprint"] = certificate.fingerprint;
    cache_.view.reset();
}

api::ConfigMap ServerInfo::stored_config() const { return database_.server_config().all(); }

api::ConfigMap ServerInfo::config() const {
    auto config = stored_config();
    if (const auto secret = config.find(kPassword); secret != config.end()) secret->second = kHidden;
    return config;
}

std::string ServerInfo::password_hash() const {
    const auto config = stored_config();
    const auto found = config.find(kPassword);
    return found == config.end() ? "" : found->second;
}

bool ServerInfo::metrics_are_open() const {
    const auto config = stored_config();
    const auto found = config.find("core.metrics_authentication");
    return found != config.end() && !profiles::parse_bool(found->second);
}

Result<api::ConfigMap> ServerInfo::prepare_config(api::ConfigMap config) const {
    LX_TRY(profiles::validate_server_config(config));
    const auto secret = config.find(kPassword);
    if (secret == config.end()) return config;
    if (secret->second != kHidden) {
        LX_TRY_AS(secret->second, auth::hash_password(secret->second));
        return config;
    }
    secret->second = password_hash();
    if (secret->second.empty())
        return fail(Status::bad_request, "Invalid value 'true' of 'core.trust_password': too easy to guess");
    return config;
}

Result<> ServerInfo::store_config(const api::ConfigMap& prepared) {
    return database_.server_config().replace(prepared);
}

}  // namespace lxmgr::rest
