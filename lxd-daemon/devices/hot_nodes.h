#pragma once
#include <string>

#include "lxd-daemon/devices/device.h"
#include "lxd-daemon/devices/host_devices.h"
#include "lxd-daemon/devices/node.h"

/// Nodes of the host's devices that an instance has for as long as the host has the device. What it has now
/// is kept in volatile.<device>.last_state.nodes.
namespace lxmgr::devices {

HotNodes held_nodes(const DeviceContext& context);
/// Volatile changes: the instance has these nodes; none removes the key.
api::ConfigMap note_nodes(const DeviceContext& context, const HotNodes& nodes);
/// "c189:5" or "b7:77".
std::string number_of(bool block, unsigned major, unsigned minor);
Result<Attach> attach_hot_node(const DeviceContext& context, const std::string& target,
                               const std::string& number);
/// Attaches the nodes at start, and notes them.
Result<Started> start_with_nodes(const DeviceContext& context, const HotNodes& nodes);
std::vector<Detach> detach_nodes(const DeviceContext& context);

}  // namespace lxmgr::devices
