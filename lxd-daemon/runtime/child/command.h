#pragma once
#include <cstdint>

#include "lxd-daemon/runtime/child/confine.h"

namespace lxmgr::child {

/// A command to run in a container, as wire::Type::exec carries it.
struct CommandPlan {
    std::uint32_t uid;
    std::uint32_t gid;
    bool terminal;    ///< stdio[0] is a terminal to be the controlling one
    int stdio[3];     ///< -1: the container's /dev/null
    const char* cwd;  ///< empty: $HOME where there is such a directory, else "/"
    const char* const* argv;
    const char* const* environment;
    const Confinement* confinement;
};

/// From the seat's fork to execve. Ends with 127 when there is no such program, 126 when it cannot be
/// executed, as a shell does, so that the caller sees an exit code in any case.
[[noreturn]] void run_command(const CommandPlan& plan);

}  // namespace lxmgr::child
