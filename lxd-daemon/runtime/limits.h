#pragma once
#include <string>

#include "lxd-daemon/runtime/container.h"
#include "lxd-daemon/sys/cgroup.h"

namespace lxmgr::runtime {

/// Whether a container with these limits has v1 groups in the hierarchies of Cgroups::kEverywhere only.
bool stays_everywhere(const sys::Cgroups& cgroups, const Limits& limits);

/// Makes the v1 groups that a container always has (memory and pids, to count by) and those its limits need,
/// and sets the limits. For a container without processes yet. The caller removes the groups on failure.
Result<> prepare_limits(sys::Cgroups& cgroups, const std::string& name, const Limits& limits);

/// Sets what differs; on failure the old limits are in force again. Joins further v1 hierarchies where a new
/// limit needs them. @return true when it joined one
Result<bool> change_limits(sys::Cgroups& cgroups, const std::string& name, const Limits& old_limits,
                           const Limits& new_limits);

/// Sets all of them whatever is in force, what is not given back to none. What cannot be set leaves the
/// others alone, and is the error.
Result<> reset_limits(sys::Cgroups& cgroups, const std::string& name, const Limits& limits);

/// The seat, from which commands are started, is a process of the container's cgroups but not of the
/// container's.
inline constexpr std::uint64_t kSeatProcesses = 1;

Result<Usage> read_usage(const sys::Cgroups& cgroups, const std::string& name);

}  // namespace lxmgr::runtime
