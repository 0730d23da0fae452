#pragma once
#include <optional>
#include <string>

#include "lxd-daemon/base/result.h"

/// An interface of the host that is lent to another network namespace and taken back.
namespace lxmgr::network {

/// How the interface is on the host, to be restored.
struct HostLink {
    std::string name;
    std::string hwaddr;
    std::string kind;  ///< rtnetlink's, empty for hardware
    int mtu = 0;
};
/// nullopt: there is no such interface in the calling thread's namespace.
Result<std::optional<HostLink>> host_link(const std::string& name);

struct Loan {
    std::string guest_name;  ///< empty: the first free of eth0, eth1, ...
    std::string hwaddr;      ///< empty: as on the host
    int mtu = 0;             ///< 0: as on the host
    int netns_fd = -1;
};
/// Moves it from the calling thread's namespace, and brings it up there.
/// Errors: `bad_request` when there is none of that name.
Result<> lend_link(const std::string& name, const Loan& loan);
/// Takes it back from a namespace, whatever its name is by now, and makes it what it was. `inside` is its MAC
/// address there. One that is not there is success: it may be back already, or a virtual one and gone.
Result<> take_link_back(int netns_fd, const std::string& inside, const HostLink& host);
/// For one whose namespace is gone: the kernel moved it here under the name that it had inside.
Result<> restore_link(const std::string& inside, const HostLink& host);

}  // namespace lxmgr::network
