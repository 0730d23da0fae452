#pragma once
#include "lxd-daemon/runtime/child/confine.h"

namespace lxmgr::child {

/// The seat: a process of the monitor's that has taken its place in a container (cgroups, namespaces,
/// seccomp) once, and forks commands from there. So a command costs one fork: no setns(2), and above all no
/// move between v1 cgroups, which waits 4-12 ms for an RCU grace period (kernel-facts.md, cgroups). It is in
/// no pid namespace but the host's: the guest can neither see nor trace nor signal it. Commands are children
/// of the monitor (CLONE_PARENT), which waits for them.
struct SeatPlan {
    int socket;  ///< exec messages come in; exec_started + pidfd (+ pty master), or failed, go out, in order
    pid_t init_pid;  ///< as the host has it
    int init_pidfd;
    int devpts;  ///< directory of the container's devpts instance, so that no path of the guest's is trusted
    const int* cgroup_procs;  ///< v1 cgroup.procs files to join
    std::size_t cgroup_count;
    char* buffer;  ///< for one message, wire::kMaxMessage
    Confinement confinement;
};

[[noreturn]] void run_seat(const SeatPlan& plan);

}  // namespace lxmgr::child
