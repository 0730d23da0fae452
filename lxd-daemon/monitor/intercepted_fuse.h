#pragma once
#include "lxd-daemon/monitor/intercepted_job.h"

namespace lxmgr::monitor {

struct FuseMount {
    const char* program;
    const char* source;
    const char* target;
    const char* options;  ///< of mount(2)
    bool read_only;
};
/// Has a program of the container's own mount it: as its root, by the seat, like any other command. Waits
/// until the program has gone to the background. @return 0 or a negative errno
int mount_by_fuse(const Job& job, const FuseMount& mount);

}  // namespace lxmgr::monitor
