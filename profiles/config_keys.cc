#include "profiles/config_keys.h"

#include "profiles/key_tables.h"

namespace lxmgr::profiles {
namespace {

bool matches(const ConfigKey& key, std::string_view name) {
    if (!key.name.ends_with(".*")) return key.name == name;
    const std::string_view family = key.name.substr(0, key.name.size() - 1);  // with the dot
    return name.size() > family.size() && name.starts_with(family);
}

}  // namespace

std::span<const ConfigKey> config_keys() {
    static const std::vector<ConfigKey> keys = [] {
        std::vector<ConfigKey> all;
        for (const auto table :
             {instance_keys(), disk_keys(), nic_bridged_keys(), nic_p2p_keys(), nic_ipvlan_keys(),
              nic_macvlan_keys(), nic_physical_keys(), nic_routed_keys(), proxy_keys(), unix_block_keys(),
              unix_char_keys(), gpu_keys(), unix_hotplug_keys(), usb_keys(), server_keys(), volume_keys(),
              project_keys()}) {
            all.insert(all.end(), table.begin(), table.end());
        }
        return all;
    }();
    return keys;
}

const ConfigKey* find_key(KeyScope scope, std::string_view name) {
    for (const ConfigKey& key : config_keys()) {
        if (key.scope == scope && matches(key, name)) return &key;
    }
    return nullptr;
}

}  // namespace lxmgr::profiles
