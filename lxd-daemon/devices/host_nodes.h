#pragma once
#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// Devices of the host by what they are, and not by the path of their node.
const DeviceType& usb();
const DeviceType& unix_hotplug();
const DeviceType& gpu();

}  // namespace lxmgr::devices
