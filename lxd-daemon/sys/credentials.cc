#include "lxd-daemon/sys/credentials.h"

#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

namespace lxmgr::sys {
namespace {

// Raw system calls: glibc's setresuid(2) would change every thread; its setfsuid is a plain wrapper, but says
// no more.
std::uint32_t set_fs_uid(std::uint32_t uid) {
    return static_cast<std::uint32_t>(::syscall(SYS_setfsuid, uid));
}
std::uint32_t set_fs_gid(std::uint32_t gid) {
    return static_cast<std::uint32_t>(::syscall(SYS_setfsgid, gid));
}

}  // namespace

Result<ScopedFsIds> ScopedFsIds::become(std::uint32_t host_uid, std::uint32_t host_gid) {
    const int bits = ::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    if (bits < 0) return fail_errno("prctl", "(get securebits)");
    const auto wanted = static_cast<unsigned long>(bits) | SECBIT_NO_SETUID_FIXUP;
    if (::prctl(PR_SET_SECUREBITS, wanted, 0, 0, 0) != 0) return fail_errno("prctl", "(set securebits)");
    const std::uint32_t old_gid = set_fs_gid(host_gid);
    const std::uint32_t old_uid = set_fs_uid(host_uid);
    ScopedFsIds scoped(old_uid, old_gid, bits);
    // The call cannot report failure but by its effect; -1 changes nothing and tells the id in force.
    if (set_fs_uid(~0U) != host_uid || set_fs_gid(~0U) != host_gid) {
        errno = EPERM;
        return fail_errno("setfsuid", "to a container's ids");
    }
    return scoped;
}

ScopedFsIds::ScopedFsIds(ScopedFsIds&& other) noexcept
    : old_uid_(other.old_uid_),
      old_gid_(other.old_gid_),
      old_securebits_(other.old_securebits_),
      active_(std::exchange(other.active_, false)) {}

ScopedFsIds::~ScopedFsIds() {
    if (!active_) return;
    set_fs_uid(old_uid_);
    set_fs_gid(old_gid_);
    ::prctl(PR_SET_SECUREBITS, static_cast<unsigned long>(old_securebits_), 0, 0, 0);
}

}  // namespace lxmgr::sys
