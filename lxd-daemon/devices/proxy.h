#pragma once
#include <string>

#include "lxd-daemon/devices/device.h"

namespace lxmgr::devices {

/// Type "proxy": a forwarder of connections between host and instance, one lxmgr-proxy process each. It ends
/// with the instance's init, and is found again by a lock that it holds on a file of the run directory.
const DeviceType& proxy();

/// Ends forwarders of a run directory whose device is not among these: left by a daemon that died between
/// starting one and storing the device.
void end_unknown_proxies(const std::string& run_dir, const api::DeviceMap& known);

}  // namespace lxmgr::devices
