#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::runtime {

/// The default system call policy of LXD's containers, compiled once with libseccomp to the BPF program that
/// children load: everything is allowed but kexec_load, open_by_handle_at and the loading of modules
/// (ENOSYS), and a forced umount (EACCES). Covers all system call tables that the machine can run.
/// no_new_privs stays off: setuid works.
Result<std::string> compile_seccomp();

}  // namespace lxmgr::runtime
