#pragma once
#include <linux/seccomp.h>
#include <sys/types.h>

#include <cstdint>

namespace lxmgr::monitor {

/// Does what an intercepted call asks for where that is safe, and answers it; all else is left to the kernel,
/// which checks it as it would have without us (SECCOMP_USER_NOTIF_FLAG_CONTINUE: so nothing is decided by
/// what is read from memory that the caller can change meanwhile). Leaves this process in the caller's root:
/// it must end then.
/// @param run_dir  of the container, where the daemon leaves what may be mounted (mount_rules.h)
void perform(int listener, const seccomp_notif& call, pid_t init, int run_dir);

/// `value` is the call's result, or a negative errno.
void respond(int listener, std::uint64_t id, std::int64_t value);

}  // namespace lxmgr::monitor
