#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// A macvlan interface, made right inside another network namespace and up.
struct MacvlanRequest {
    std::string parent;      ///< interface of the calling thread's namespace
    std::string guest_name;  ///< empty: the first free of eth0, eth1, ...
    std::string hwaddr;
    std::string mode;  ///< bridge, vepa, passthru or private; empty: bridge
    int mtu = 0;       ///< 0: the parent's
    int netns_fd = -1;
    bool connected = true;  ///< false: it has no carrier
};
/// Errors: `bad_request` when there is no such parent; `internal` as the kernel says.
Result<> create_macvlan(const MacvlanRequest& request);
/// Deletes the macvlan interface with this MAC in a namespace, whatever its name is by now; absent is
/// success.
Result<> delete_macvlan(int netns_fd, const std::string& hwaddr);

}  // namespace lxmgr::network
