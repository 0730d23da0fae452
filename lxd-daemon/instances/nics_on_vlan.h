#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/devices/device.h"
#include "lxd-daemon/instances/context.h"

namespace lxmgr::instances {

/// The NICs on the interface of a VLAN ("eth0.5"): what one noted when it started is there until it has
/// stopped.
std::vector<devices::NicOnVlan> nics_on_vlan(Context& context, const std::string& interface);

}  // namespace lxmgr::instances
