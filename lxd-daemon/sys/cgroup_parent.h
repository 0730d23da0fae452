#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::sys {

/// Takes away what Cgroups::open() made for a daemon that is gone: its parent directory in every hierarchy,
/// and its helpers' place in it. Where groups or processes still are, it stays. Absent is success.
Result<> remove_cgroup_parent(const std::string& parent);

}  // namespace lxmgr::sys
