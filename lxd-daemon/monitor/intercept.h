#pragma once
#include <sys/types.h>

namespace lxmgr::monitor {

/// Starts a process that answers the system calls a container's filter hands over (seccomp_unotify(2)) until
/// nobody is left under that filter or init has ended. It is no child of ours, and survives us.
/// @param listener  of the filter; closed here
void answer_calls(int listener);

}  // namespace lxmgr::monitor
