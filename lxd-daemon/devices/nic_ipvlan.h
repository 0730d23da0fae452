#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// Type "nic" with nictype "ipvlan": an interface on a parent of the host that has the parent's MAC address.
const DeviceType& nic_ipvlan();

}  // namespace lxmgr::devices
