#pragma once
#include "lxd-daemon/runtime/child/confine.h"
#include "lxd-daemon/runtime/child/mounts.h"

namespace lxmgr::child {

/// All that the first process of a container needs; pointers lead into the monitor's memory, of which it has
/// a copy.
struct InitPlan {
    int socket;  ///< to the monitor: mapped, go come in; prepared, failed go out; its end means exec
                 ///< succeeded
    int root_fd;
    int dev_fd;
    const char* hostname;
    const char* const* argv;
    const char* const* environment;
    const Attachment* attachments;
    std::size_t attachment_count;
    const char* const* sysctls;  ///< path and value by turns
    std::size_t sysctl_count;
    bool nesting;
    Confinement confinement;
};

/// From clone3 to execve, in the new namespaces.
[[noreturn]] void run_init(const InitPlan& plan);

}  // namespace lxmgr::child
