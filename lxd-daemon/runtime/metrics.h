#pragma once
#include <string>

#include "lxd-daemon/runtime/container.h"
#include "lxd-daemon/sys/cgroup.h"

namespace lxmgr::runtime {

/// Of the container's groups; what cannot be read stays 0 or absent.
Result<Counts> read_counts(const sys::Cgroups& cgroups, const std::string& name);

}  // namespace lxmgr::runtime
