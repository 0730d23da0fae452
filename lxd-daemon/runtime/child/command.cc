#include "lxd-daemon/runtime/child/command.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <paths.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace lxmgr::child {
namespace {

constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;
constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::size_t kMaxScriptArguments = 8192 + 2;

const char* variable(const char* const* environment, const char* name) {
    const std::size_t length = std::strlen(name);
    for (; *environment != nullptr; ++environment) {
        if (std::strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            return *environment + length + 1;
        }
    }
    return nullptr;
}

/// The command's stderr is where its user looks.
[[noreturn]] void refuse(const char* what, const char* name, int error) {
    const char* const parts[] = {"lxmgr: ", what, " '", name, "': ", strerrordesc_np(error), "\n"};
    for (const char* part : parts) {
        if (part != nullptr && ::write(2, part, std::strlen(part)) < 0) break;
    }
    ::_exit(kNotExecutable);
}

void take_stdio(const CommandPlan& plan) {
    int fds[3];
    for (int i = 0; i < 3; ++i) {
        const int fd =
            plan.stdio[i] >= 0 ? plan.stdio[i] : ::open(_PATH_DEVNULL, O_RDWR | O_CLOEXEC | O_NOCTTY);
        // Above 2, lest the next dup2 overwrites one that is still needed.
        fds[i] = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fds[i] < 0) ::_exit(kNotExecutable);
    }
    for (int i = 0; i < 3; ++i) ::dup2(fds[i], i);
    ::syscall(SYS_close_range, 3U, ~0U, 0U);
    if (plan.terminal) ::ioctl(0, TIOCSCTTY, 0);
}

/// With a filter of the user's own nothing may follow but execve. To load it takes CAP_SYS_ADMIN, so a user
/// other than root keeps its capabilities up to here; execve ends them.
void confine(const CommandPlan& plan) {
    if (!choose_profile(*plan.confinement)) refuse("no AppArmor profile for", plan.argv[0], errno);
    std::uint32_t failed = 0;
    if (!set_kernel_limits(*plan.confinement, failed))
        refuse("cannot set the limits of", plan.argv[0], errno);
    if (!plan.confinement->seccomp_late) return;
    if (plan.uid != 0) {
        __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
        __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
        auto& set = sets[CAP_TO_INDEX(CAP_SYS_ADMIN)];
        set.permitted = set.effective = CAP_TO_MASK(CAP_SYS_ADMIN);
        if (::syscall(SYS_capset, &header, sets) != 0) refuse("cannot confine", plan.argv[0], errno);
    }
    if (!install_seccomp(*plan.confinement)) refuse("cannot confine", plan.argv[0], errno);
}

/// As for LXD: while it is still root, so that a user may begin where it could not go, and one that is not
/// there is no failure. The seat, and so the command, is in "/".
void change_directory(const CommandPlan& plan) {
    const char* const wanted = plan.cwd[0] != 0 ? plan.cwd : variable(plan.environment, "HOME");
    if (wanted != nullptr) (void)!::chdir(wanted);
}

/// execve(2); a file without a known format is a script for the container's own shell, as for execvp(3).
int execute(const char* path, const CommandPlan& plan) {
    ::execve(path, const_cast<char* const*>(plan.argv), const_cast<char* const*>(plan.environment));
    if (errno != ENOEXEC) return errno;
    static const char* script[kMaxScriptArguments];
    std::size_t count = 0;
    script[count++] = _PATH_BSHELL;
    script[count++] = path;
    for (const char* const* rest = plan.argv + 1; *rest != nullptr && count < kMaxScriptArguments - 1;
         ++rest) {
        script[count++] = *rest;
    }
    script[count] = nullptr;
    ::execve(_PATH_BSHELL, const_cast<char* const*>(script), const_cast<char* const*>(plan.environment));
    return errno;
}

/// Tries each directory of PATH. @return errno of the failure that says most
int search(const char* name, const char* directories, const CommandPlan& plan) {
    char path[PATH_MAX];
    int worst = ENOENT;
    for (const char* at = directories;;) {
        const std::size_t length = std::strcspn(at, ":");
        const std::size_t name_length = std::strlen(name);
        if (length > 0 && length + name_length + 2 <= sizeof path) {
            std::memcpy(path, at, length);
            path[length] = '/';
            std::memcpy(path + length + 1, name, name_length + 1);
            const int error = execute(path, plan);
            if (error != ENOENT && error != ENOTDIR) worst = error;
            if (error != ENOENT && error != ENOTDIR && error != EACCES) return error;
        }
        if (at[length] == 0) return worst;
        at += length + 1;
    }
}

}  // namespace

void run_command(const CommandPlan& plan) {
    ::setsid();
    take_stdio(plan);
    ::umask(022);
    change_directory(plan);
    // Capabilities go with uid 0, by the kernel's own rule.
    if (plan.confinement->seccomp_late) ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (::syscall(SYS_setgroups, 0, nullptr) != 0 ||
        ::syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) != 0 ||
        ::syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) != 0) {
        refuse("cannot become the user of", plan.argv[0], errno);
    }
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // until execve: see become_container_root
    confine(plan);
    const char* const path = variable(plan.environment, "PATH");
    const bool direct = std::strchr(plan.argv[0], '/') != nullptr;
    const int error = direct ? execute(plan.argv[0], plan)
                             : search(plan.argv[0], path != nullptr ? path : kDefaultPath, plan);
    ::_exit(error == ENOENT || error == ENOTDIR ? kNotFound : kNotExecutable);
}

}  // namespace lxmgr::child
