#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// A disk: the root disk (path "/"; its volume is the business of instances/ and storage/, only the pool is
/// checked here), or a path of the host that is bound into the instance.
const DeviceType& disk();

}  // namespace lxmgr::devices
