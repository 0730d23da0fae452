#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// Type "nic" with nictype "routed": a veth pair without a bridge; the host routes the guest's addresses to
/// it, and answers for them on a parent's network.
const DeviceType& nic_routed();

}  // namespace lxmgr::devices
