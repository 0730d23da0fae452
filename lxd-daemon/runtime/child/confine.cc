#include "lxd-daemon/runtime/child/confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

namespace lxmgr::child {
namespace {

/// What LXD keeps from privileged containers (lxc.cap.drop of its default config): clock, modules, raw I/O,
/// and the policy of security modules.
constexpr unsigned kDropped[] = {CAP_SYS_TIME, CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_MAC_ADMIN,
                                 CAP_MAC_OVERRIDE};

void drop_capabilities(const Report& report) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
    bool dropped = ::syscall(SYS_capget, &header, sets) == 0;
    for (const unsigned capability : kDropped) {
        dropped = dropped && ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0;
        auto& set = sets[CAP_TO_INDEX(capability)];
        set.effective &= ~CAP_TO_MASK(capability);
        set.permitted &= ~CAP_TO_MASK(capability);
    }
    for (auto& set : sets) set.inheritable = 0;
    report.require(dropped && ::syscall(SYS_capset, &header, sets) == 0, wire::Step::drop_capabilities);
}

void narrow_bounding_set(const Report& report, const Confinement& confinement) {
    for (unsigned capability = 0; capability < 64; ++capability) {
        if ((confinement.dropped_capabilities >> capability & 1) == 0) continue;
        // EINVAL: newer than the kernel, so nobody has it.
        const bool dropped = ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0 || errno == EINVAL;
        report.require(dropped, wire::Step::drop_capabilities);
    }
}

}  // namespace

void become_container_root(const Report& report, const Confinement& confinement) {
    // Raw calls: glibc's versions reach for its list of threads, which is not ours after clone3.
    const bool changed = ::syscall(SYS_setgroups, 0, nullptr) == 0 &&
                         ::syscall(SYS_setresgid, 0, 0, 0) == 0 && ::syscall(SYS_setresuid, 0, 0, 0) == 0;
    report.require(changed, wire::Step::become_root);
    if (confinement.privileged) drop_capabilities(report);
    narrow_bounding_set(report, confinement);
    // The change of ids set this to fs.suid_dumpable; at 1 the guest's root could look into us before exec.
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    ::setsid();
    // Fails only without CONFIG_KEYS; then there is no keyring of the host's to inherit either.
    ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
    if (confinement.open_files.rlim_max != 0) ::setrlimit(RLIMIT_NOFILE, &confinement.open_files);
}

bool set_kernel_limits(const Confinement& confinement, std::uint32_t& failed) {
    for (std::size_t i = 0; i < confinement.limit_count; ++i) {
        failed = static_cast<std::uint32_t>(i);
        const KernelLimit& limit = confinement.limits[i];
        if (::syscall(SYS_prlimit64, 0, limit.resource, &limit.value, nullptr) != 0) return false;
    }
    return true;
}

bool choose_profile(const Confinement& confinement) {
    if (confinement.apparmor_profile[0] == 0) return true;
    char text[sizeof confinement.apparmor_profile + 8] = "exec ";
    std::strcat(text, confinement.apparmor_profile);
    // The first is Linux 5.8's, beside other security modules; Documentation/admin-guide/LSM/apparmor.rst.
    int fd = ::open("/proc/self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC);
    if (fd < 0) fd = ::open("/proc/self/attr/exec", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const auto size = static_cast<ssize_t>(std::strlen(text));
    const bool chosen = ::write(fd, text, static_cast<std::size_t>(size)) == size;
    const int error = errno;
    ::close(fd);
    errno = error;
    return chosen;
}

bool install_seccomp(const Confinement& confinement) {
    if (confinement.seccomp_bytes == 0) return true;
    sock_fprog program{};
    program.len = static_cast<unsigned short>(confinement.seccomp_bytes / sizeof(sock_filter));
    program.filter = static_cast<sock_filter*>(const_cast<void*>(confinement.seccomp));
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

void load_seccomp(const Report& report, const Confinement& confinement) {
    report.require(install_seccomp(confinement), wire::Step::load_seccomp);
}

int load_intercepts(const Report& report, const Confinement& confinement) {
    if (confinement.intercepts_bytes == 0) return -1;
    sock_fprog program{};
    program.len = static_cast<unsigned short>(confinement.intercepts_bytes / sizeof(sock_filter));
    program.filter = static_cast<sock_filter*>(const_cast<void*>(confinement.intercepts));
    // With the second flag (Linux 5.19) no signal makes a call begin again that is being answered.
    constexpr unsigned long kWaitKillable = 1UL << 5;
    constexpr unsigned long kListener = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    long fd = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, kListener | kWaitKillable, &program);
    if (fd < 0 && errno == EINVAL) fd = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, kListener, &program);
    report.require(fd >= 0, wire::Step::load_intercepts);
    return static_cast<int>(fd);
}

}  // namespace lxmgr::child
