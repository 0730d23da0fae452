#pragma once
#include <sys/resource.h>

#include <cstddef>

#include "lxd-daemon/runtime/child/report.h"

namespace lxmgr::child {

/// What every process of a container gets that does not follow from its namespaces.
struct Confinement {
    const void* seccomp = nullptr;  ///< BPF program as seccomp_export_bpf(3) writes it
    std::size_t seccomp_bytes = 0;
    rlimit open_files{};
};

/// Ids 0 of the user namespace, no supplementary groups, a session and a session keyring of its own, the
/// limits.
void become_container_root(const Report& report, const Confinement& confinement);

/// For this process and all it starts. Set from outside, since setns(2) hands on no filter.
void load_seccomp(const Report& report, const Confinement& confinement);

}  // namespace lxmgr::child
