#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// A NIC on a bridge: `network` (managed) or `nictype: bridged` with `parent`. One end of a veth pair is on
/// the bridge, the other inside. Volatile values: hwaddr and name for life, host_name for one run.
const DeviceType& nic();

}  // namespace lxmgr::devices
