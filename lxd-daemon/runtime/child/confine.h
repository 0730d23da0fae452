#pragma once
#include <sys/resource.h>

#include <cstddef>
#include <cstdint>

#include "lxd-daemon/runtime/child/report.h"

namespace lxmgr::child {

struct KernelLimit {
    int resource;
    rlimit value;
};

/// What every process of a container gets that does not follow from its namespaces.
struct Confinement {
    const void* seccomp = nullptr;  ///< BPF program as seccomp_export_bpf(3) writes it
    std::size_t seccomp_bytes = 0;
    /// The filter is the user's own and may forbid what the seat lives on: commands load it just before
    /// execve.
    bool seccomp_late = false;
    /// A filter of its own for calls that a listener answers: the stricter one decides, seccomp(2).
    const void* intercepts = nullptr;
    std::size_t intercepts_bytes = 0;
    bool privileged = false;  ///< no user namespace around it
    /// By number, beside what a privileged one never has: out of the bounding set, so execve gives them to
    /// nobody, capabilities(7).
    std::uint64_t dropped_capabilities = 0;
    char apparmor_profile[160] = "";  ///< empty: none
    rlimit open_files{};              ///< rlim_max 0: left to `limits`
    const KernelLimit* limits = nullptr;
    std::size_t limit_count = 0;
};

/// Ids 0 of the user namespace, no supplementary groups, a session and a session keyring of its own, the
/// limit of open files. Without a user namespace: what LXC takes from a privileged container's root, too.
void become_container_root(const Report& report, const Confinement& confinement);

/// limits.kernel.*, last before execve: small ones would hinder what comes before. @return false with errno,
/// and which one it was
bool set_kernel_limits(const Confinement& confinement, std::uint32_t& failed);

/// AppArmor's profile takes effect with the next execve. Before load_seccomp(): a filter may forbid it.
/// @return false with errno
bool choose_profile(const Confinement& confinement);

/// As load_seccomp(). @return false with errno
bool install_seccomp(const Confinement& confinement);

/// For this process and all it starts. Set from outside, since setns(2) hands on no filter.
void load_seccomp(const Report& report, const Confinement& confinement);

/// The filter of intercepted calls. @return its listener; -1: there is no such filter
int load_intercepts(const Report& report, const Confinement& confinement);

}  // namespace lxmgr::child
