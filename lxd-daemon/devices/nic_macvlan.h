#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// Type "nic" with nictype "macvlan": an interface of its own on a parent of the host.
const DeviceType& nic_macvlan();

}  // namespace lxmgr::devices
