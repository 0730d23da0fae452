#include "lxd-daemon/monitor/intercept.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "lxd-daemon/monitor/intercepted.h"
#include "lxd-daemon/monitor/intercepted_job.h"
#include "lxd-daemon/monitor/state.h"

namespace lxmgr::monitor {
namespace {

/// Calls that are worked on at once; more wait. Each may wait for a file system of the guest's own (FUSE), so
/// each has a process and a time limit.
constexpr std::size_t kMaxWorkers = 32;
constexpr unsigned kSeconds = 10;

struct Worker {
    pid_t pid;
    std::uint64_t id;
};
Worker workers[kMaxWorkers];
std::size_t worker_count = 0;

/// One that was killed, or gave up, has not answered, and its caller would wait for ever.
void reap(int listener) {
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
        for (std::size_t i = 0; i < worker_count; ++i) {
            if (workers[i].pid != pid) continue;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) respond(listener, workers[i].id, -EIO);
            workers[i] = workers[--worker_count];
            break;
        }
    }
}

void interrupt(int) {}

/// The caller may have been killed since poll(2) saw it, and then this would wait for the next one, without
/// looking at init: so not for long.
bool receive(int listener, seccomp_notif& call) {
    ::alarm(1);
    call = seccomp_notif{};
    const bool received = ::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) == 0;
    ::alarm(0);
    return received;
}

void work(int listener, const seccomp_notif& call, int run_dir) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::signal(SIGALRM, SIG_DFL);
        ::alarm(kSeconds);
        perform(listener, call, state.init_pid, run_dir);
        ::_exit(0);
    }
    if (pid < 0) return respond(listener, call.id, -ENOMEM);
    workers[worker_count++] = {pid, call.id};
}

/// Leaves the host's mounts for a tree with nothing but /proc and /dev/null. Workers copy their mount
/// namespace (lock_flags()), which would otherwise cost the host the more the more it has mounted, and keep
/// others' mounts in use. Without it calls are answered all the same.
void leave_host_mounts() {
    constexpr unsigned long kPrivate = 1 << 18,
                            kDetach = 2;  // MS_PRIVATE, MNT_DETACH: see intercepted_mount.cc
    mount_attr attributes{};
    attributes.propagation = kPrivate;
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attributes, sizeof attributes) != 0)
        return;
    const auto close = [](long fd) { ::close(static_cast<int>(fd)); };
    const long proc = ::syscall(SYS_open_tree, AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    const long context = ::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    (void)::syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
    const long tree = ::syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
    close(context);
    const auto put = [](long mount, int directory, const char* path) {
        return ::syscall(SYS_move_mount, mount, "", directory, path, MOVE_MOUNT_F_EMPTY_PATH) == 0;
    };
    const int fd = static_cast<int>(tree);
    const bool ready = proc >= 0 && tree >= 0 && put(tree, AT_FDCWD, "/proc") &&
                       ::mkdirat(fd, "proc", 0555) == 0 && put(proc, fd, "proc") && ::fchdir(fd) == 0;
    if (ready && ::syscall(SYS_pivot_root, ".", ".") == 0) (void)::syscall(SYS_umount2, ".", kDetach);
    // For the programs that are started for the guest.
    const bool made = ready && ::mkdirat(fd, "dev", 0755) == 0;
    if (made) (void)::mknodat(fd, "dev/null", S_IFCHR | 0666, makedev(1, 3));
    (void)!::chdir("/");
    close(tree);
    close(proc);
}

[[noreturn]] void serve(int listener, int init_pidfd, int run_dir) {
    ::prctl(PR_SET_NAME, "lxmgr-calls", 0, 0, 0);
    struct sigaction action{};
    action.sa_handler = interrupt;  // without SA_RESTART
    ::sigaction(SIGALRM, &action, nullptr);
    leave_host_mounts();
    for (;;) {
        // With all of them at work only their ends count, and init's.
        const bool full = worker_count == kMaxWorkers;
        pollfd polled[] = {{full ? -1 : listener, POLLIN, 0}, {init_pidfd, POLLIN, 0}};
        const int ready = ::poll(polled, 2, full ? 100 : worker_count > 0 ? 1000 : -1);
        reap(listener);
        if (ready < 0) continue;
        if (polled[1].revents != 0) ::_exit(0);
        if ((polled[0].revents & POLLIN) != 0) {
            seccomp_notif call;
            if (receive(listener, call)) work(listener, call, run_dir);
        } else if (polled[0].revents != 0) {
            ::_exit(0);  // nobody is under the filter any more
        }
    }
}

}  // namespace

void answer_calls(int listener) {
    if (listener < 0) return;
    loaded_programs();  // one for all
    const pid_t child = ::fork();
    if (child == 0) {
        // No child of the monitor's, which takes those it does not know for commands.
        if (::fork() != 0) ::_exit(0);
        ::setsid();
        constexpr int kListener = 3;
        constexpr int kInit = 4;
        constexpr int kRunDir = 5;
        const int kept = ::fcntl(listener, F_DUPFD_CLOEXEC, kRunDir + 1);
        const int init = ::fcntl(state.init_pidfd, F_DUPFD_CLOEXEC, kRunDir + 1);
        const int run_dir = ::fcntl(state.run_dir, F_DUPFD_CLOEXEC, kRunDir + 1);
        ::dup3(kept, kListener, O_CLOEXEC);
        ::dup3(init, kInit, O_CLOEXEC);
        ::dup3(run_dir, kRunDir, O_CLOEXEC);
        ::syscall(SYS_close_range, static_cast<unsigned>(kRunDir) + 1, ~0U, 0U);
        serve(kListener, kInit, kRunDir);
    }
    if (child > 0) ::waitpid(child, nullptr, 0);
    ::close(listener);
}

}  // namespace lxmgr::monitor
