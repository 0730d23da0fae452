#pragma once
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// A netlink socket that becomes readable when an address comes or goes in a network namespace: what is read
/// from it does not matter. Non-blocking.
Result<UniqueFd> watch_addresses(int netns_fd);
/// Takes what is there to be read, so that only later changes make it readable again.
void drain_address_watch(int socket);

}  // namespace lxmgr::network
