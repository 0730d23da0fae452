#include "lxd-daemon/monitor/exec.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

#include "lxd-daemon/monitor/intercept.h"
#include "lxd-daemon/monitor/loop.h"
#include "lxd-daemon/monitor/state.h"
#include "lxd-daemon/monitor/steps.h"
#include "lxd-daemon/runtime/child/seat.h"

namespace lxmgr::monitor {
namespace {

using wire::Step;
using wire::Type;

/// cgroup2 forbids processes beside child cgroups that have controllers, so commands run in a leaf of their
/// own.
constexpr const char* kLeaf = ".lxmgr";
constexpr std::size_t kMaxPending = 64;

int seat = -1;  ///< our end of its socket
pid_t seat_pid = -1;

/// Channels whose requests are with the seat; it answers in order. 0: closed meanwhile.
int pending[kMaxPending];
std::size_t pending_first = 0;
std::size_t pending_count = 0;

void fail_channel(int channel, Step step, int error) {
    const std::uint32_t values[] = {static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(error), 0};
    wire::send_numbers(channel, Type::failed, values, 3, nullptr, 0, MSG_DONTWAIT);
    drop(channel);
}

int take_pending() {
    if (pending_count == 0) return 0;
    const int channel = pending[pending_first];
    pending_first = (pending_first + 1) % kMaxPending;
    --pending_count;
    return channel;
}

/// Made again when the guest, who owns its cgroup, has removed it.
int open_leaf() {
    const bool made = ::mkdirat(state.cgroup, kLeaf, 0755) == 0;
    const int leaf = ::openat(state.cgroup, kLeaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (leaf < 0 || !made) return leaf;
    for (const char* file : {".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"}) {
        (void)!::fchownat(leaf, file, state.host_uid, state.host_gid, AT_SYMLINK_NOFOLLOW);
    }
    return leaf;
}

bool is_known(pid_t pid) {
    if (pid == state.init_pid) return true;
    for (int fd = 0; fd < static_cast<int>(kMaxFd); ++fd) {
        if (endpoint(fd).kind == Kind::command && endpoint(fd).pid == pid) return true;
    }
    return false;
}

/// Commands that the seat forked but could not tell of before its death are children of ours that nobody
/// waits for: as zombies they would keep init from ending (zap_pid_ns_processes waits for them). proc(5),
/// task/TID/children.
void adopt_unknown_commands() {
    const int fd = ::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    char text[4096];
    pid_t pid = 0;
    for (ssize_t size = 0; fd >= 0 && (size = ::read(fd, text, sizeof text)) > 0;) {
        for (ssize_t i = 0; i < size; ++i) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
                continue;
            }
            if (pid > 0 && !is_known(pid))
                watch(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)), Kind::command, pid);
            pid = 0;
        }
    }
    if (fd >= 0) ::close(fd);
}

void lose_seat(Step step, int error) {
    if (seat < 0) return;
    drop(seat);
    seat = -1;
    ::kill(seat_pid, SIGKILL);
    ::waitpid(seat_pid, nullptr, __WALL);
    adopt_unknown_commands();
    while (pending_count > 0) {
        if (const int channel = take_pending(); channel > 0) fail_channel(channel, step, error);
    }
}

}  // namespace

void start_seat() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
    const int leaf = open_leaf();
    clone_args args{};
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<std::uint64_t>(leaf);
    const long pid = leaf < 0 ? -1 : ::syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        // While we are in the container's groups, it is too.
        const std::size_t to_join = state.placed ? 0 : state.cgroup_count;
        const child::SeatPlan plan{ends[1],        state.init_pid,     state.init_pidfd,
                                   state.devpts,   state.cgroup_procs, to_join,
                                   message_buffer, state.confinement};
        child::run_seat(plan);
    }
    if (leaf >= 0) ::close(leaf);
    ::close(ends[1]);
    if (pid < 0) {
        ::close(ends[0]);
        return;
    }
    seat_pid = static_cast<pid_t>(pid);
    seat = watch(ends[0], Kind::seat_socket) ? ends[0] : -1;
}

void end_seat() { lose_seat(Step::no_seat, ESRCH); }

bool exec_is_busy() { return pending_count == kMaxPending; }

void forward_exec(int channel, const char* message, std::size_t size, const wire::ReceivedFds& fds) {
    if (seat < 0) start_seat();
    if (seat < 0) return fail_channel(channel, Step::clone_seat, errno);
    if (size > 64 * 1024) {
        const int room = 2 * static_cast<int>(wire::kMaxMessage);
        ::setsockopt(seat, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    }
    const int error = wire::send_raw(seat, message, size, fds.all(), fds.count(), MSG_DONTWAIT);
    if (error == EPIPE || error == ECONNRESET) {
        lose_seat(Step::no_seat, error);
        return fail_channel(channel, Step::no_seat, error);
    }
    if (error != 0) return fail_channel(channel, Step::too_many, error);
    pending[(pending_first + pending_count) % kMaxPending] = channel;
    ++pending_count;
}

void on_seat_message(int socket) {
    char buffer[64];
    wire::ReceivedFds fds;
    const long size = wire::receive_message(socket, buffer, sizeof buffer, fds, MSG_DONTWAIT);
    if (size == -EAGAIN) return;
    if (size <= 0) return lose_seat(Step::no_seat, ESRCH);
    wire::Reader reader(buffer, static_cast<std::size_t>(size));
    const Type type = reader.type();
    if (type == Type::seated) return answer_calls(fds.take(0));
    const std::uint32_t first = reader.u32();
    if (type == Type::failed) {
        const auto step = static_cast<Step>(first);
        const auto error = static_cast<int>(reader.u32());
        // Before it sat down: it has ended by that.
        if (step == Step::join_cgroups || step == Step::enter_namespaces || step == Step::become_root ||
            step == Step::load_seccomp || step == Step::load_intercepts) {
            return lose_seat(step, error);
        }
        if (const int channel = take_pending(); channel > 0) fail_channel(channel, step, error);
        return;
    }
    const int channel = take_pending();
    const int pidfd = fds.take(0);
    const int master = fds.take(1);
    if (channel > 0) {
        wire::send_numbers(channel, Type::exec_started, &first, 1, &master, master >= 0 ? 1 : 0,
                           MSG_DONTWAIT);
    }
    if (master >= 0) ::close(master);
    if (watch(pidfd, Kind::command, static_cast<pid_t>(first), channel)) {
        if (channel > 0) endpoint(channel).peer = pidfd;
    } else if (channel > 0) {
        fail_channel(channel, Step::too_many, EMFILE);
    }
}

void on_exec_channel(int channel) {
    char buffer[64];
    wire::ReceivedFds fds;
    const long size = wire::receive_message(channel, buffer, sizeof buffer, fds, MSG_DONTWAIT);
    if (size == -EAGAIN) return;
    const int pidfd = endpoint(channel).peer;
    if (size > 0) {
        wire::Reader reader(buffer, static_cast<std::size_t>(size));
        const auto number = static_cast<int>(reader.u32());
        if (reader.type() == Type::exec_signal && reader.complete() && pidfd > 0) {
            ::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0);
        }
        return;
    }
    // The command goes on without a listener.
    if (pidfd > 0) endpoint(pidfd).peer = 0;
    for (std::size_t i = 0; i < pending_count; ++i) {
        int& waiting = pending[(pending_first + i) % kMaxPending];
        if (waiting == channel) waiting = 0;
    }
    drop(channel);
}

void on_command_end(int pidfd) {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG | __WALL) == 0 &&
        info.si_pid == 0)
        return;
    const int channel = endpoint(pidfd).peer;
    if (channel > 0) {
        const bool exited = info.si_code == CLD_EXITED;
        const auto code = static_cast<std::uint32_t>(exited ? info.si_status : 128 + info.si_status);
        wire::send_numbers(channel, Type::exec_end, &code, 1, nullptr, 0, MSG_DONTWAIT);
        drop(channel);
    }
    drop(pidfd);
}

void finish_commands() {
    for (int fd = 0; fd < static_cast<int>(kMaxFd); ++fd) {
        if (endpoint(fd).kind == Kind::command) on_command_end(fd);
    }
}

}  // namespace lxmgr::monitor
