#include "lxd-daemon/runtime/child/seat.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>

#include "lxd-daemon/runtime/child/command.h"

namespace lxmgr::child {
namespace {

using wire::Step;
using wire::Type;

constexpr int kSocket = 3;
constexpr int kDevpts = 4;
constexpr int kNamespaces =
    CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;

const char* strings[wire::kMaxStrings + 2];

/// Nothing of the monitor's stays open here but the two that are needed.
void keep_two(const SeatPlan& plan) {
    const int socket = ::fcntl(plan.socket, F_DUPFD_CLOEXEC, kDevpts + 1);
    const int devpts = ::fcntl(plan.devpts, F_DUPFD_CLOEXEC, kDevpts + 1);
    ::dup3(socket, kSocket, O_CLOEXEC);
    ::dup3(devpts, kDevpts, O_CLOEXEC);
    ::syscall(SYS_close_range, static_cast<unsigned>(kDevpts) + 1, ~0U, 0U);
}

/// "/proc/PID/oom_score_adj". Not by snprintf(3), whose 300 KB of code each seat would have mapped from then
/// on.
const char* oom_score_path(pid_t pid, char (&path)[40]) {
    constexpr char kHead[] = "/proc/", kTail[] = "/oom_score_adj";
    char* at = path + sizeof path - sizeof kTail;
    std::memcpy(at, kTail, sizeof kTail);
    do *--at = static_cast<char>('0' + pid % 10);
    while ((pid /= 10) > 0);
    at -= sizeof kHead - 1;
    std::memcpy(at, kHead, sizeof kHead - 1);
    return at;
}

/// limits.memory.oom_priority is set from outside on init; commands are to have it too. Best effort, as what
/// init has may be its own choice.
void share_oom_score(pid_t init) {
    char text[40];
    const int from = ::open(oom_score_path(init, text), O_RDONLY | O_CLOEXEC);
    const ssize_t size = from < 0 ? -1 : ::read(from, text, sizeof text);
    ::close(from);
    if (size <= 0 || text[0] == '0') return;
    const int own = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (own < 0) return;
    (void)!::write(own, text, static_cast<std::size_t>(size));
    ::close(own);
}

void take_place(const SeatPlan& plan) {
    const Report report(plan.socket);
    share_oom_score(plan.init_pid);
    for (std::size_t i = 0; i < plan.cgroup_count; ++i) {
        report.require(::write(plan.cgroup_procs[i], "0", 1) == 1, Step::join_cgroups);
    }
    // A privileged container has no user namespace of its own, and to enter the present one is an error.
    const int namespaces = kNamespaces | (plan.confinement.privileged ? 0 : CLONE_NEWUSER);
    report.require(::setns(plan.init_pidfd, namespaces) == 0, Step::enter_namespaces);
    become_container_root(report, plan.confinement);
    report.require(::chdir("/") == 0, Step::enter_namespaces);
    keep_two(plan);
    const Report kept(kSocket);
    const int listener = load_intercepts(kept, plan.confinement);
    if (!plan.confinement.seccomp_late) load_seccomp(kept, plan.confinement);
    wire::send_numbers(kSocket, Type::seated, nullptr, 0, &listener, listener >= 0 ? 1 : 0);
    if (listener >= 0) ::close(listener);
}

struct Request {
    CommandPlan command;
    bool pty;
    winsize size;
};

bool parse_seat(const char* data, std::size_t bytes, wire::ReceivedFds& fds, Request& request) {
    wire::Reader reader(data, bytes);
    request.command.uid = reader.u32();
    request.command.gid = reader.u32();
    request.pty = reader.u32() != 0;
    const std::uint32_t columns = reader.u32();
    const std::uint32_t rows = reader.u32();
    request.size.ws_col = static_cast<unsigned short>(columns);
    request.size.ws_row = static_cast<unsigned short>(rows);
    // Which of stdin, stdout, stderr came along, as bits.
    const std::uint32_t given = reader.u32();
    std::size_t next = 0;
    for (std::size_t i = 0; i < 3; ++i) {
        const bool here = (given & (1U << i)) != 0;
        request.command.stdio[i] = here && next < fds.count() ? fds.all()[next++] : -1;
    }
    request.command.cwd = reader.text();
    const std::size_t argc = reader.list(strings, wire::kMaxStrings);
    const std::size_t left = wire::kMaxStrings - argc;
    reader.list(strings + argc + 1, left);
    request.command.argv = strings;
    request.command.environment = strings + argc + 1;
    errno = EBADMSG;
    return reader.type() == Type::exec && reader.complete() && argc > 0;
}

/// A new pty of the container's own; its slave becomes stdio. @return the master, -1 with errno
int open_pty(Request& request) {
    const int master = ::openat(kDevpts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0) return -1;
    const int unlocked = 0;
    ::ioctl(master, TIOCSPTLCK, &unlocked);
    ::ioctl(master, TIOCSWINSZ, &request.size);
    const int slave = ::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || ::fchown(slave, request.command.uid, ~0U) != 0) {
        const int error = errno;
        ::close(master);
        if (slave >= 0) ::close(slave);
        errno = error;
        return -1;
    }
    request.command.terminal = true;
    for (int& fd : request.command.stdio) fd = slave;
    return master;
}

void answer_failure(Step step) {
    const std::uint32_t values[] = {static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(errno), 0};
    wire::send_numbers(kSocket, Type::failed, values, 3);
}

void start_command(Request& request) {
    int master = -1;
    if (request.pty) {
        master = open_pty(request);
        if (master < 0) return answer_failure(Step::open_pty);
    }
    int pidfd = -1;
    clone_args args{};
    args.flags = CLONE_PARENT | CLONE_PIDFD;  // the exit signal is the seat's own then
    args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
    const long pid = ::syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) run_command(request.command);
    if (pid < 0) {
        answer_failure(Step::clone_command);
    } else {
        const int fds[] = {pidfd, master};
        const std::uint32_t value = static_cast<std::uint32_t>(pid);
        wire::send_numbers(kSocket, Type::exec_started, &value, 1, fds, master >= 0 ? 2 : 1);
        ::close(pidfd);
    }
    if (master >= 0) {
        ::close(master);
        ::close(request.command.stdio[0]);
    }
}

}  // namespace

void run_seat(const SeatPlan& plan) {
    ::prctl(PR_SET_NAME, "lxmgr-seat", 0, 0, 0);
    char* const buffer = plan.buffer;
    take_place(plan);
    for (;;) {
        wire::ReceivedFds fds;
        const long size = wire::receive_message(kSocket, buffer, wire::kMaxMessage, fds);
        if (size == 0) ::_exit(0);  // the monitor is gone
        Request request{};
        if (size < 0) {
            errno = static_cast<int>(-size);
            answer_failure(Step::read_spec);
        } else if (!parse_seat(buffer, static_cast<std::size_t>(size), fds, request)) {
            answer_failure(Step::read_spec);
        } else {
            request.command.confinement = &plan.confinement;
            start_command(request);
        }
    }
}

}  // namespace lxmgr::child
