#pragma once
#include <vector>

#include "lxd-daemon/runtime/lxcfs.h"

namespace lxmgr::instances {

struct Context;

/// What lxcfs is to do for the instances of a context: warnings, and new files for those that run when it was
/// started anew.
runtime::Lxcfs::Hooks lxcfs_hooks(Context& context);

/// lxcfs's files for a start; none where it is missing, which the log and the list of warnings say.
std::vector<runtime::LxcfsFile> lxcfs_files(Context& context);

/// After a restart of the daemon: takes lxcfs over when instances run.
void recover_lxcfs(Context& context);
/// At the daemon's end: nobody needs it while nothing runs.
void end_idle_lxcfs(Context& context);

}  // namespace lxmgr::instances
