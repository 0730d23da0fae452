#pragma once
#include <sys/types.h>

#include <string>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/cgroup.h"

namespace lxmgr::runtime {

/// Sets oom_score_adj of proc(5), which is inherited, of a container's init before it runs. Errors:
/// `bad_request` where this host lets nobody lower it.
Result<> set_oom_score(pid_t init, int pidfd, int score);

/// Changes it in all processes of the container but those that chose their own. On failure all are as they
/// were.
Result<> change_oom_score(const sys::Cgroups& cgroups, const std::string& name, int before, int after);

}  // namespace lxmgr::runtime
