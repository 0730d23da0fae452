#pragma once
#include <set>

namespace lxmgr::network {

/// Ports at which programs of the host take connections (tcp) or packets (udp) from elsewhere, on any address
/// but those of the loopback.
std::set<int> ports_in_use(bool udp);

}  // namespace lxmgr::network
