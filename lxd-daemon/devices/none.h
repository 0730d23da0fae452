#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// Nothing: hides a profile's device of the same name.
const DeviceType& none();

}  // namespace lxmgr::devices
