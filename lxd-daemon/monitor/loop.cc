#include "lxd-daemon/monitor/loop.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lxd-daemon/monitor/console.h"
#include "lxd-daemon/monitor/exec.h"
#include "lxd-daemon/monitor/message_io.h"
#include "lxd-daemon/monitor/state.h"
#include "lxd-daemon/monitor/steps.h"

namespace lxmgr::monitor {
namespace {

using wire::Step;
using wire::Type;

Endpoint endpoints[kMaxFd];

/// Exec requests that wait until the seat has room, in the sockets' own buffers.
int deferred[kMaxFd];
std::size_t deferred_first = 0;
std::size_t deferred_count = 0;

void answer(int connection, Type type) {
    wire::send_numbers(connection, type, nullptr, 0, nullptr, 0, MSG_DONTWAIT);
    drop(connection);
}

void refuse(int connection, Step step, int error) {
    const std::uint32_t values[] = {static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(error), 0};
    wire::send_numbers(connection, Type::failed, values, 3, nullptr, 0, MSG_DONTWAIT);
    drop(connection);
}

void accept_connection() {
    const int connection = ::accept4(state.listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) return;
    // The directory and the socket are closed to others already; this holds even if somebody opens them up.
    ucred peer{};
    socklen_t size = sizeof peer;
    const bool known = ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    if (!known || peer.uid != ::geteuid()) {
        ::close(connection);
        return;
    }
    watch(connection, Kind::fresh);
}

void begin_watching(int connection) {
    char buffer[64];
    wire::Writer writer(buffer, sizeof buffer, Type::state);
    writer.u32(static_cast<std::uint32_t>(state.init_pid));
    writer.u32(state.ready ? 1 : 0);
    writer.u64(state.started_at_ns);
    writer.u64(state.ready_at_ns);
    wire::send_message(connection, writer, &state.init_pidfd, 1, MSG_DONTWAIT);
    endpoint(connection).kind = Kind::watcher;
}

void attach_console(int connection, wire::ReceivedFds& fds) {
    const int stream = fds.take(0);
    if (stream < 0 || console_master() < 0) {
        if (stream >= 0) ::close(stream);
        return refuse(connection, Step::console, ENODEV);
    }
    if (!watch(stream, Kind::console_client)) return refuse(connection, Step::console, EMFILE);
    if (!add_console_client(stream)) {
        drop(stream);
        return refuse(connection, Step::console, EUSERS);
    }
    answer(connection, Type::done);
}

void replace_cgroups(int connection, wire::ReceivedFds& fds) {
    if (fds.count() > kMaxCgroups) return refuse(connection, Step::join_cgroups, EINVAL);
    for (std::size_t i = 0; i < state.cgroup_count; ++i) ::close(state.cgroup_procs[i]);
    state.cgroup_count = fds.count();
    for (std::size_t i = 0; i < state.cgroup_count; ++i) state.cgroup_procs[i] = fds.take(i);
    answer(connection, Type::done);
}

void defer(int connection) {
    // Out of the set altogether: the hangup of a caller that gave up would be reported again and again.
    ::epoll_ctl(state.epoll, EPOLL_CTL_DEL, connection, nullptr);
    deferred[(deferred_first + deferred_count) % kMaxFd] = connection;
    ++deferred_count;
}

void resume_deferred() {
    while (deferred_count > 0 && !exec_is_busy()) {
        const int connection = deferred[deferred_first];
        deferred_first = (deferred_first + 1) % kMaxFd;
        --deferred_count;
        if (endpoint(connection).kind == Kind::fresh) {
            watch(connection, Kind::fresh);
            return;
        }
    }
}

void on_first_message(int connection) {
    wire::Header header{};
    const ssize_t peeked = ::recv(connection, &header, sizeof header, MSG_PEEK | MSG_DONTWAIT);
    if (peeked < 0 && errno == EAGAIN) return;
    if (peeked == sizeof header && header.type == Type::exec && exec_is_busy()) return defer(connection);

    wire::ReceivedFds fds;
    const long size =
        wire::receive_message(connection, message_buffer, sizeof message_buffer, fds, MSG_DONTWAIT);
    if (size <= 0) return drop(connection);
    wire::Reader reader(message_buffer, static_cast<std::size_t>(size));
    if (!reader.ok()) return drop(connection);
    switch (reader.type()) {
        case Type::watch:
            return begin_watching(connection);
        case Type::console:
            return attach_console(connection, fds);
        case Type::cgroups:
            return replace_cgroups(connection, fds);
        case Type::resize: {
            const std::uint32_t columns = reader.u32();
            resize_console(columns, reader.u32());
            return answer(connection, Type::done);
        }
        case Type::exec:
            endpoint(connection).kind = Kind::exec_channel;
            forward_exec(connection, message_buffer, static_cast<std::size_t>(size), fds);
            return release_message_buffer(size);
        default:
            return drop(connection);
    }
}

void on_notify() {
    char buffer[4096];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int) * 16)];
    iovec part{buffer, sizeof buffer - 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = ::recvmsg(state.notify, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0) return;
    buffer[size] = 0;
    bool from_init = false;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET) continue;
        if (c->cmsg_type == SCM_CREDENTIALS) {
            ucred sender{};
            std::memcpy(&sender, CMSG_DATA(c), sizeof sender);
            from_init = sender.pid == state.init_pid;
        } else if (c->cmsg_type == SCM_RIGHTS) {
            // Anybody in the guest may send descriptors here; they must not pile up.
            for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
                int fd = -1;
                std::memcpy(&fd, reinterpret_cast<const char*>(c) + at, sizeof fd);
                ::close(fd);
            }
        }
    }
    const bool is_ready =
        std::strncmp(buffer, "READY=1", 7) == 0 || std::strstr(buffer, "\nREADY=1") != nullptr;
    if (!from_init || !is_ready || state.ready) return;
    state.ready = true;
    state.ready_at_ns = now_ns();
    for (int fd = 0; fd < static_cast<int>(kMaxFd); ++fd) {
        if (endpoints[fd].kind == Kind::watcher) send_time(fd, Type::ready, state.ready_at_ns);
    }
}

/// For a daemon that is not there now, or that dies before it has acted on this.
void record_exit(const siginfo_t& info) {
    char text[64];
    const char* const kind = info.si_code == CLD_EXITED ? "exited" : "signalled";
    const int size = ::snprintf(text, sizeof text, "%s %d\n", kind, info.si_status);
    const int fd =
        ::openat(state.run_dir, "exit.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    (void)!::write(fd, text, static_cast<std::size_t>(size));
    ::close(fd);
    ::renameat(state.run_dir, "exit.tmp", state.run_dir, wire::kExitName);
}

void on_init_end() {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(state.init_pidfd), &info, WEXITED | WNOHANG) == 0 &&
        info.si_pid == 0)
        return;
    finish_commands();
    end_seat();
    for (int i = 0; i < 64 && console_master() >= 0; ++i) read_console();  // the last words
    record_exit(info);
    ::unlinkat(state.run_dir, wire::kSocketName, 0);
    ::_exit(0);
}

void on_console_client(int stream, std::uint32_t events) {
    const ClientInput input = read_console_client(stream);
    if (input == ClientInput::taken) return;
    // One that has left is let go also when the guest does not read what it typed last.
    if (input == ClientInput::blocked && (events & EPOLLHUP) == 0) {
        rewatch(stream, 0);
        return rewatch(console_master(), EPOLLIN | EPOLLOUT);
    }
    remove_console_client(stream);
    drop(stream);
}

void on_master(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
        rewatch(console_master(), EPOLLIN);
        for (int fd = 0; fd < static_cast<int>(kMaxFd); ++fd) {
            if (endpoints[fd].kind == Kind::console_client) rewatch(fd, EPOLLIN);
        }
    }
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0 && !read_console()) drop(console_master());
}

void on_watcher(int connection) {
    char buffer[64];
    wire::ReceivedFds fds;
    const long size = wire::receive_message(connection, buffer, sizeof buffer, fds, MSG_DONTWAIT);
    if (size == 0 || (size < 0 && size != -EAGAIN)) drop(connection);
}

void dispatch(int fd, std::uint32_t events) {
    switch (endpoints[fd].kind) {
        case Kind::none:
            return;
        case Kind::listener:
            return accept_connection();
        case Kind::fresh:
            return on_first_message(fd);
        case Kind::watcher:
            return on_watcher(fd);
        case Kind::exec_channel:
            return on_exec_channel(fd);
        case Kind::command:
            return on_command_end(fd);
        case Kind::init:
            return on_init_end();
        case Kind::master:
            return on_master(events);
        case Kind::console_client:
            return on_console_client(fd, events);
        case Kind::notify:
            return on_notify();
        case Kind::seat_socket:
            return on_seat_message(fd);
    }
}

/// Off the daemon's own cgroup, where its service manager would end us with it.
void move_to_own_cgroup() {
    for (std::size_t i = 0; i < state.own_cgroup_count; ++i) {
        (void)!::write(state.own_cgroup_procs[i], "0", 1);
        ::close(state.own_cgroup_procs[i]);
    }
    state.placed = false;
}

}  // namespace

Endpoint& endpoint(int fd) { return endpoints[fd]; }

bool watch(int fd, Kind kind, pid_t pid, int peer) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (fd < 0) return false;
    if (fd >= static_cast<int>(kMaxFd) || ::epoll_ctl(state.epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        ::close(fd);
        return false;
    }
    endpoints[fd] = {kind, pid, peer};
    return true;
}

void rewatch(int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    ::epoll_ctl(state.epoll, EPOLL_CTL_MOD, fd, &event);
}

void drop(int fd) {
    endpoints[fd] = Endpoint{};
    ::epoll_ctl(state.epoll, EPOLL_CTL_DEL, fd, nullptr);
    ::close(fd);
}

void run_loop() {
    state.epoll = ::epoll_create1(EPOLL_CLOEXEC);
    watch(state.init_pidfd, Kind::init);
    watch(state.listener, Kind::listener);
    watch(console_master(), Kind::master);
    if (state.control >= 0) watch(state.control, Kind::watcher);
    if (state.notify >= 0) watch(state.notify, Kind::notify);
    start_seat();
    move_to_own_cgroup();
    for (;;) {
        epoll_event events[16];
        const int count = ::epoll_wait(state.epoll, events, 16, -1);
        for (int i = 0; i < count; ++i) dispatch(events[i].data.fd, events[i].events);
        resume_deferred();
    }
}

}  // namespace lxmgr::monitor
