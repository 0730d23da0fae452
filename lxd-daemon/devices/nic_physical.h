#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// Type "nic" with nictype "physical": an interface of the host that is moved into the instance, and back
/// when the run ends.
const DeviceType& nic_physical();

}  // namespace lxmgr::devices
