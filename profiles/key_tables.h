#pragma once
#include <span>
#include <string_view>

#include "profiles/config_keys.h"

/// Private to the room: the tables that config_keys() joins, one file each.
namespace lxmgr::profiles {

std::span<const ConfigKey> instance_keys();
std::span<const ConfigKey> disk_keys();
std::span<const ConfigKey> nic_bridged_keys();
std::span<const ConfigKey> nic_p2p_keys();
std::span<const ConfigKey> nic_ipvlan_keys();
std::span<const ConfigKey> nic_macvlan_keys();
std::span<const ConfigKey> nic_physical_keys();
std::span<const ConfigKey> nic_routed_keys();
std::span<const ConfigKey> proxy_keys();
std::span<const ConfigKey> unix_block_keys();
std::span<const ConfigKey> unix_char_keys();
std::span<const ConfigKey> gpu_keys();
std::span<const ConfigKey> unix_hotplug_keys();
std::span<const ConfigKey> usb_keys();
std::span<const ConfigKey> server_keys();
std::span<const ConfigKey> volume_keys();
std::span<const ConfigKey> project_keys();

/// A row that several scopes share, in one of them.
constexpr ConfigKey of(KeyScope scope, ConfigKey row) {
    row.scope = scope;
    return row;
}

/// True for a key that LXD or Incus have and we do not (yet): another error than for a typing mistake.
bool is_foreign_key(KeyScope scope, std::string_view name);
/// What is said of a foreign key after its name: "is not supported: ...", and why not.
std::string not_supported(KeyScope scope, std::string_view name);
bool is_foreign_device_type(std::string_view type);

}  // namespace lxmgr::profiles
