#include "lxd-daemon/monitor/intercept.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "lxd-daemon/monitor/intercepted.h"
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

/// One that was killed has not answered, and its caller would wait for ever.
void reap(int listener, bool wait) {
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, wait ? 0 : WNOHANG)) > 0; wait = false) {
        for (std::size_t i = 0; i < worker_count; ++i) {
            if (workers[i].pid != pid) continue;
            if (!WIFEXITED(status)) respond(listener, workers[i].id, -EIO);
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

[[noreturn]] void serve(int listener, int init_pidfd, int run_dir) {
    ::prctl(PR_SET_NAME, "lxmgr-calls", 0, 0, 0);
    struct sigaction action{};
    action.sa_handler = interrupt;  // without SA_RESTART
    ::sigaction(SIGALRM, &action, nullptr);
    for (;;) {
        pollfd polled[] = {{listener, POLLIN, 0}, {init_pidfd, POLLIN, 0}};
        const int ready = ::poll(polled, 2, worker_count > 0 ? 1000 : -1);
        reap(listener, false);
        if (ready < 0) continue;
        if (polled[1].revents != 0) ::_exit(0);
        if ((polled[0].revents & POLLIN) != 0) {
            while (worker_count == kMaxWorkers) reap(listener, true);
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
