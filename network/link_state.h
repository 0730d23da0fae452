#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

/// Links that are there, but whose other side sees no carrier.
namespace lxmgr::network {

/// Brings an interface of the calling thread's namespace up or down; the other end of a veth pair sees its
/// carrier come or go. The kernel forgets routes and IPv6 addresses of one that goes down. True: it was not
/// so before.
Result<bool> set_link_state(const std::string& name, bool up);
/// Carrier of the macvlan interface with this MAC in another namespace (IFLA_PROTO_DOWN, Linux 5.9), which
/// follows its parent's again when the parent goes down and up. None of that MAC is success.
Result<> set_macvlan_carrier(int netns_fd, const std::string& hwaddr, bool on);

}  // namespace lxmgr::network
