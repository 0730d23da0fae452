#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// Type "unix-char": a character device of the host as a node in the instance.
const DeviceType& unix_char();
/// Type "unix-block": the same of a block device.
const DeviceType& unix_block();

}  // namespace lxmgr::devices
