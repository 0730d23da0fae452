#include "lxd-daemon/instances/project_restrictions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "images/web/address.h"
#include "lxd-daemon/base/strings.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

std::unexpected<Error> forbidden(std::string_view what) {
    return fail(Status::forbidden, fmt::format("{} is forbidden in this project", what));
}

std::vector<std::string> listed(const std::string& text) {
    std::vector<std::string> out;
    for (const auto& part : split(text, ',')) {
        if (const auto trimmed = trim(part); !trimmed.empty()) out.emplace_back(trimmed);
    }
    return out;
}

bool is_in_list(const std::string& list, const std::string& name) {
    const auto names = listed(list);
    return std::ranges::find(names, name) != names.end();
}

/// Options that reach past what an instance's own limits are for.
bool is_low_level(std::string_view key) {
    constexpr std::array<std::string_view, 4> kKeys{"boot.host_shutdown_timeout", "security.devlxd.images",
                                                    "security.idmap.base", "security.idmap.size"};
    if (key.starts_with("security.syscalls.")) return !key.starts_with("security.syscalls.intercept.");
    return key.starts_with("raw.") || key.starts_with("linux.kernel_modules") ||
           std::ranges::find(kKeys, key) != kKeys.end();
}

/// "1000-1999,5000": whether all ids of the range are in one of these.
bool covers(const std::string& ranges, std::uint64_t first, std::uint64_t count) {
    for (const auto& range : listed(ranges)) {
        const auto dash = range.find('-');
        const auto from = parse_uint(range.substr(0, dash));
        const auto to = dash == std::string::npos ? from : parse_uint(range.substr(dash + 1));
        if (from && to && first >= *from && first + count - 1 <= *to) return true;
    }
    return false;
}

Result<> check_raw_idmap(const database::ProjectRecord& project, const std::string& value) {
    const std::string uids = restriction(project, "restricted.idmap.uid");
    const std::string gids = restriction(project, "restricted.idmap.gid");
    if (uids.empty() && gids.empty()) {
        if (restriction(project, "restricted.containers.lowlevel") == "allow") return {};
        return forbidden("Use of low-level config \"raw.idmap\"");
    }
    LX_TRY_AS(const auto entries, profiles::parse_raw_idmap(value));
    for (const auto& entry : entries) {
        if ((entry.uids && !covers(uids, entry.host_first, entry.count)) ||
            (entry.gids && !covers(gids, entry.host_first, entry.count)))
            return forbidden("Mapping these host ids by \"raw.idmap\"");
    }
    return {};
}

Result<> check_interception(const database::ProjectRecord& project, const std::string& key) {
    const std::string allowed = restriction(project, "restricted.containers.interception");
    const bool mounts = key.starts_with("security.syscalls.intercept.mount");
    if (allowed == "full" || (allowed == "allow" && !mounts)) return {};
    return forbidden(fmt::format("System call interception by \"{}\"", key));
}

Result<> check_privilege(const database::ProjectRecord& project, const std::string& key, bool on) {
    const std::string allowed = restriction(project, "restricted.containers.privilege");
    if (key == "security.privileged" && on && allowed != "allow")
        return forbidden("Setting \"security.privileged\"");
    if (key == "security.idmap.isolated" && !on && allowed == "isolated")
        return forbidden("Clearing \"security.idmap.isolated\"");
    return {};
}

Result<> check_config_key(const database::ProjectRecord& project, const std::string& key,
                          const std::string& value) {
    if (key == "security.nesting" && profiles::parse_bool(value) &&
        restriction(project, "restricted.containers.nesting") != "allow")
        return forbidden("Container nesting");
    if (key == "raw.idmap") return check_raw_idmap(project, value);
    if (key.starts_with("security.syscalls.intercept.") && value != "false")
        return check_interception(project, key);
    LX_TRY(check_privilege(project, key, profiles::parse_bool(value)));
    if (is_low_level(key) && restriction(project, "restricted.containers.lowlevel") != "allow")
        return forbidden(fmt::format("Use of low-level config \"{}\"", key));
    return {};
}

/// Beneath one of the allowed directories; nothing climbs out by "..".
bool is_beneath_any(const std::string& paths, const std::string& source) {
    if (source.contains("/../") || source.ends_with("/..")) return false;
    return std::ranges::any_of(listed(paths), [&](std::string path) {
        while (path.size() > 1 && path.ends_with('/')) path.pop_back();
        return path == "/" || source == path || source.starts_with(path + "/");
    });
}

Result<> check_disk_device(const database::ProjectRecord& project, const std::string& name,
                           const api::ConfigMap& keys) {
    const std::string pool = api::value_of(keys, "pool");
    const bool root = api::value_of(keys, "path") == "/";
    if (!pool.empty()) LX_TRY(check_pool_access(project, pool));
    if (root && !pool.empty()) return {};
    const std::string allowed = restriction(project, "restricted.devices.disk");
    if (allowed == "block") return forbidden(fmt::format("Disk device \"{}\"", name));
    if (!pool.empty()) return {};
    if (allowed != "allow")
        return forbidden(fmt::format("Disk device \"{}\", which is not of a storage pool,", name));
    const std::string paths = restriction(project, "restricted.devices.disk.paths");
    if (!paths.empty() && !is_beneath_any(paths, api::value_of(keys, "source")))
        return forbidden(fmt::format("The source of disk device \"{}\"", name));
    // It makes the instance's root the owner of files that are the host's root's.
    if (profiles::parse_bool(api::value_of(keys, "shift")) &&
        restriction(project, "restricted.containers.privilege") != "allow")
        return forbidden(fmt::format("Shifting the ids of disk device \"{}\"", name));
    return {};
}

/// Keys by which a NIC of a managed network draws packets that are others', or names what is the host's.
bool reaches_beyond(std::string_view key) {
    constexpr std::array<std::string_view, 7> kKeys{
        "host_name", "ipv4.routes", "ipv4.routes.external", "ipv6.routes", "ipv6.routes.external",
        "vlan",      "vlan.tagged"};
    return std::ranges::find(kKeys, key) != kKeys.end();
}

Result<> check_nic_device(const database::ProjectRecord& project, const std::string& name,
                          const api::ConfigMap& keys) {
    const std::string allowed = restriction(project, "restricted.devices.nic");
    if (allowed == "block") return forbidden(fmt::format("Network device \"{}\"", name));
    const std::string network = api::value_of(keys, "network");
    const std::string parent = api::value_of(keys, "parent");
    if (network.empty() && allowed != "allow")
        return forbidden(fmt::format("Network device \"{}\", which is not of a managed network,", name));
    const std::string& on = network.empty() ? parent : network;
    if (!on.empty() && !may_use_network(project, on))
        return forbidden(fmt::format("Network \"{}\" of device \"{}\"", on, name));
    if (allowed == "allow") return {};
    for (const auto& [key, value] : keys) {
        if (reaches_beyond(key)) return forbidden(fmt::format("\"{}\" of network device \"{}\"", key, name));
    }
    return {};
}

Result<> check_device(const database::ProjectRecord& project, const std::string& name,
                      const api::ConfigMap& keys) {
    const std::string type = api::value_of(keys, "type");
    if (type == "none") return {};
    if (type == "disk") return check_disk_device(project, name, keys);
    if (type == "nic") return check_nic_device(project, name, keys);
    if (restriction(project, "restricted.devices." + type) == "allow") return {};
    return forbidden(fmt::format("Device \"{}\" of type \"{}\"", name, type));
}

/// "HOST:PORT" of a URL, in lower case.
std::string authority_of(const std::string& url) {
    const std::string rest = url.substr(url.find("://") + 3);
    return to_lower(rest.substr(0, rest.find_first_of("/?#")));
}

}  // namespace

bool is_restricted(const database::ProjectRecord& project) {
    const auto found = project.config.find("restricted");
    return found != project.config.end() && profiles::parse_bool(found->second);
}

std::string restriction(const database::ProjectRecord& project, const std::string& key) {
    static const std::map<std::string, std::string, std::less<>> kDefaults{
        {"restricted.containers.privilege", "unprivileged"},
        {"restricted.devices.disk", "managed"},
        {"restricted.devices.disk.paths", ""},
        {"restricted.devices.nic", "managed"},
        {"restricted.idmap.uid", ""},
        {"restricted.idmap.gid", ""},
    };
    if (const auto found = project.config.find(key); found != project.config.end()) return found->second;
    const auto otherwise = kDefaults.find(key);
    return otherwise == kDefaults.end() ? "block" : otherwise->second;
}

Result<> check_restrictions(const database::ProjectRecord& project, const api::ConfigMap& config,
                            const api::DeviceMap& devices) {
    if (!is_restricted(project)) return {};
    for (const auto& [key, value] : config) LX_TRY(check_config_key(project, key, value));
    for (const auto& [name, keys] : devices) LX_TRY(check_device(project, name, keys));
    return {};
}

std::optional<std::vector<std::string>> allowed_disk_sources(const database::ProjectRecord& project) {
    if (!is_restricted(project)) return std::nullopt;
    const std::string paths = restriction(project, "restricted.devices.disk.paths");
    return paths.empty() ? std::nullopt : std::optional(listed(paths));
}

Result<> check_isolation(const database::ProjectRecord& project, const api::ConfigMap& config) {
    if (!is_restricted(project) || restriction(project, "restricted.containers.privilege") != "isolated")
        return {};
    if (profiles::parse_bool(api::value_of(config, "security.idmap.isolated"))) return {};
    return forbidden("An instance without \"security.idmap.isolated\"");
}

Result<> check_pool_access(const database::ProjectRecord& project, const std::string& pool) {
    const auto found = project.config.find("restricted.storage-pools.access");
    if (!is_restricted(project) || found == project.config.end() || is_in_list(found->second, pool))
        return {};
    return forbidden(fmt::format("Storage pool \"{}\"", pool));
}

std::optional<std::string> pool_limited_by(std::string_view key) {
    constexpr std::string_view kPoolLimit = "limits.disk.pool.";
    if (!key.starts_with(kPoolLimit)) return std::nullopt;
    return std::string(key.substr(kPoolLimit.size()));
}

bool shows_pool(const database::ProjectRecord& project, const std::string& pool) {
    const auto limit = project.config.find("limits.disk.pool." + pool);
    if (limit == project.config.end()) return true;
    const auto bytes = profiles::parse_size(limit->second);
    return !bytes || *bytes != 0;
}

Result<> check_image_server(const database::ProjectRecord& project, const std::string& server) {
    const auto found = project.config.find("restricted.images.servers");
    if (!is_restricted(project) || found == project.config.end()) return {};
    // The host as the download reads it.
    LX_TRY_AS(const auto url, images::parse_url(server));
    const std::string authority = authority_of(server), allowed = to_lower(found->second);
    const bool named = is_in_list(allowed, url.host) || is_in_list(allowed, authority);
    if (named && !authority.contains('@') && !authority.contains('\\')) return {};
    return forbidden(fmt::format("Image server \"{}\"", url.host));
}

bool may_use_network(const database::ProjectRecord& project, const std::string& network) {
    const auto found = project.config.find("restricted.networks.access");
    return !is_restricted(project) || found == project.config.end() || is_in_list(found->second, network);
}

}  // namespace lxmgr::instances
