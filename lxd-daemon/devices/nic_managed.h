#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// Type "nic" with `network`: as the network's type has it, a NIC on its bridge, or a macvlan or physical one
/// on the network's parent.
const DeviceType& nic_managed();

}  // namespace lxmgr::devices
