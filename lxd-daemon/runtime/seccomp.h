#pragma once
#include <string>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::runtime {

/// A policy as the BPF program that children load. By default, as LXD's: everything is allowed but
/// kexec_load, open_by_handle_at and the loading of modules (ENOSYS), and a forced umount (EACCES); a
/// privileged container is refused bpf (EPERM) too, which could take its device filter away. Covers all
/// system call tables that the machine can run, or refuses those of other word sizes (ENOSYS).
/// Lines of the lists: NAME [errno N | kill | trap | allow] [[INDEX,VALUE,OPERATOR[,MASK]]...], as in version
/// 2 policies of LXC; without an action a call on the deny list kills. no_new_privs stays off: setuid works.
/// Errors: `bad_request` naming the key and the line.
Result<std::string> compile_seccomp(const SyscallPolicy& policy, bool privileged);

/// The filter of calls that the monitor's helper answers (seccomp_unotify(2)); empty when there are none, and
/// for a privileged container, which may make those calls. Looks at 64-bit programs only: in others the
/// kernel refuses as ever.
Result<std::string> compile_intercepts(const Intercepts& intercepts, bool privileged);

}  // namespace lxmgr::runtime
