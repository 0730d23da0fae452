#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "profiles/config_keys.h"

// The tables of config keys as data: for completion in clients, and for docs/reference/config-keys.md.
namespace lxmgr::rest {
namespace {

/// LXD's names of what has config.
std::string_view entity_of(profiles::KeyScope scope) {
    using enum profiles::KeyScope;
    switch (scope) {
        case instance:
            return "instance";
        case server:
            return "server";
        case disk:
            return "device-disk";
        case nic_bridged:
            return "device-nic-bridged";
        case nic_p2p:
            return "device-nic-p2p";
        case nic_ipvlan:
            return "device-nic-ipvlan";
        case nic_macvlan:
            return "device-nic-macvlan";
        case nic_physical:
            return "device-nic-physical";
        case nic_routed:
            return "device-nic-routed";
        case none_device:
            return "device-none";
        case gpu:
            return "device-gpu";
        case proxy:
            return "device-proxy";
        case unix_block:
            return "device-unix-block";
        case unix_char:
            return "device-unix-char";
        case unix_hotplug:
            return "device-unix-hotplug";
        case usb:
            return "device-usb";
        case volume:
            return "storage-volume";
        case project:
            return "project";
    }
    return "";
}

/// Devices have one group; others are grouped by the first word of their keys.
std::string group_of(const profiles::ConfigKey& key, std::string_view entity) {
    return entity.starts_with("device-") ? "device-conf"
                                         : std::string(key.name.substr(0, key.name.find('.')));
}

nlohmann::json describe_key(const profiles::ConfigKey& key) {
    nlohmann::json out{{"type", key.type},
                       {"shortdesc", key.doc},
                       {"longdesc", ""},
                       {"liveupdate", key.live == profiles::Live::yes ? "yes" : "no"}};
    if (!key.default_value.empty()) {
        out["default"] = key.default_value;      // as Incus calls it
        out["defaultdesc"] = key.default_value;  // as LXD does
    }
    return out;
}

Handled configuration_get(const Request&, Services&) {
    nlohmann::json configs = nlohmann::json::object();
    for (const auto& key : profiles::config_keys()) {
        const std::string_view entity = entity_of(key.scope);
        auto& group = configs[std::string(entity)][group_of(key, entity)];
        nlohmann::json row = nlohmann::json::object();
        row[std::string(key.name)] = describe_key(key);
        group["keys"].push_back(std::move(row));
    }
    nlohmann::json out = nlohmann::json::object();
    out["configs"] = std::move(configs);
    co_return Response::sync(out);
}

constexpr Route kMetadataConfigurationRoutes[] = {
    {Verb::get, "/1.0/metadata/configuration", Access::authenticated, configuration_get},
};

}  // namespace

std::span<const Route> metadata_configuration_routes() { return kMetadataConfigurationRoutes; }

}  // namespace lxmgr::rest
