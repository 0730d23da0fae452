#include "lxd-daemon/runtime/child/confine.h"

#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lxmgr::child {

void become_container_root(const Report& report, const Confinement& confinement) {
    // Raw calls: glibc's versions reach for its list of threads, which is not ours after clone3.
    const bool changed = ::syscall(SYS_setgroups, 0, nullptr) == 0 &&
                         ::syscall(SYS_setresgid, 0, 0, 0) == 0 && ::syscall(SYS_setresuid, 0, 0, 0) == 0;
    report.require(changed, wire::Step::become_root);
    // The change of ids set this to fs.suid_dumpable; at 1 the guest's root could look into us before exec.
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    ::setsid();
    // Fails only without CONFIG_KEYS; then there is no keyring of the host's to inherit either.
    ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
    if (confinement.open_files.rlim_max != 0) ::setrlimit(RLIMIT_NOFILE, &confinement.open_files);
}

void load_seccomp(const Report& report, const Confinement& confinement) {
    if (confinement.seccomp_bytes == 0) return;
    sock_fprog program{};
    program.len = static_cast<unsigned short>(confinement.seccomp_bytes / sizeof(sock_filter));
    program.filter = static_cast<sock_filter*>(const_cast<void*>(confinement.seccomp));
    report.require(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0,
                   wire::Step::load_seccomp);
}

}  // namespace lxmgr::child
