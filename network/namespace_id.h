#pragma once
#include <cstdint>

#include "network/netlink.h"

namespace lxmgr::network {

/// How our namespace calls another one (RTM_GETNSID). With it one socket of ours reads and changes links of
/// any namespace (IFLA_TARGET_NETNSID 4.20, IFA_TARGET_NETNSID 5.0): no thread ever changes its namespace.
using NamespaceId = std::int32_t;

/// A namespace has an id from the first veth on that crosses to it; one without such a link is given one.
Result<NamespaceId> namespace_id(NetlinkSocket& socket, int netns_fd);

}  // namespace lxmgr::network
