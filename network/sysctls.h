#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

/// Kernel settings below /proc/sys/net, of the calling thread's network namespace.
namespace lxmgr::network {

Result<> enable_ipv4_forwarding();
/// A host that forwards IPv6 stops listening to router advertisements unless accept_ra is 2 (ip-sysctl.rst):
/// interfaces that listened go on doing so, or the host would lose its own route.
Result<> enable_ipv6_forwarding();
/// No address or route of the bridge comes from what guests advertise, and its addresses are usable at once.
Result<> harden_ipv6(const std::string& interface);

/// Lets packets of the host's loopback be translated to go out through a bridge. What comes from the bridge
/// to 127.0.0.0/8 is dropped by the bridge's own rules.
Result<> route_loopback(const std::string& bridge);

}  // namespace lxmgr::network
