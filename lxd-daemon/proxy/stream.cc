#include "lxd-daemon/proxy/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

namespace lxmgr::proxy {
namespace {

constexpr std::size_t kPipeBytes = std::size_t{1} << 18;
/// Rounds of one connection before others have their turn.
constexpr int kStreamRounds = 16;

struct Connection;
struct End {
    Source source{Kind::stream_end};
    Connection* connection = nullptr;
    int fd = -1;
};

/// What was read from one end and not yet written to the other: a pipe, so that bytes need not be copied.
struct Channel {
    int read_end = -1, write_end = -1;
    std::size_t held = 0;
    std::size_t room = kPipeBytes;
    bool ended = false;      ///< no more comes in
    bool shut_down = false;  ///< and the other end was told so
};

struct Connection {
    End ends[2];          ///< who came, and where it goes to
    Channel channels[2];  ///< channel i leads from end i to the other
    bool connected = false;
    bool closed = false;
    bool queued = false;
    Connection* next_ready = nullptr;
    Connection* next_closed = nullptr;
};

Connection* ready_first = nullptr;
Connection** ready_last = &ready_first;
Connection* closed_first = nullptr;

void close_connection(Connection& connection) {
    if (connection.closed) return;
    connection.closed = true;
    for (End& end : connection.ends) {
        if (end.fd >= 0) ::close(end.fd);
    }
    for (Channel& channel : connection.channels) {
        if (channel.read_end >= 0) ::close(channel.read_end);
        if (channel.write_end >= 0) ::close(channel.write_end);
    }
    connection.next_closed = closed_first;
    closed_first = &connection;
    wake_listeners();
}

bool would_block() { return errno == EAGAIN || errno == EINTR; }

/// @return bytes moved; -1 when the connection is broken
int move(int from, Channel& channel, int to) {
    int moved = 0;
    if (!channel.ended && channel.held < channel.room) {
        const ssize_t in = ::splice(from, nullptr, channel.write_end, nullptr, channel.room - channel.held,
                                    SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (in < 0 && !would_block()) return -1;
        if (in == 0) channel.ended = true;
        if (in > 0) {
            channel.held += static_cast<std::size_t>(in);
            moved = 1;
        }
    }
    if (channel.held > 0) {
        const ssize_t out =
            ::splice(channel.read_end, nullptr, to, nullptr, channel.held, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (out < 0 && !would_block()) return -1;
        if (out > 0) {
            channel.held -= static_cast<std::size_t>(out);
            moved = 1;
        }
    }
    if (channel.ended && channel.held == 0 && !channel.shut_down) {
        ::shutdown(to, SHUT_WR);
        channel.shut_down = true;
    }
    return moved;
}

void queue(Connection& connection) {
    if (connection.queued) return;
    connection.queued = true;
    connection.next_ready = nullptr;
    *ready_last = &connection;
    ready_last = &connection.next_ready;
}

/// Edge-triggered: moves until the kernel has nothing to give and no room, or the turn is over.
void pump(Connection& connection) {
    for (int round = 0; round < kStreamRounds; ++round) {
        int moved = 0;
        for (int i = 0; i < 2; ++i) {
            const int step = move(connection.ends[i].fd, connection.channels[i], connection.ends[1 - i].fd);
            if (step < 0) return close_connection(connection);
            moved += step;
        }
        if (connection.channels[0].shut_down && connection.channels[1].shut_down)
            return close_connection(connection);
        if (moved == 0) return;
    }
    queue(connection);
}

bool make_channel(Channel& channel) {
    int pipe_ends[2];
    if (::pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0) return false;
    channel.read_end = pipe_ends[0];
    channel.write_end = pipe_ends[1];
    // Less when the user's pages for pipes are used up, pipe(7).
    const int size = ::fcntl(channel.write_end, F_SETPIPE_SZ, static_cast<int>(kPipeBytes));
    channel.room = size > 0 ? static_cast<std::size_t>(size) : 65536;
    return true;
}

/// Who comes by IPv4 to a listener of both families has an IPv6 address that holds it.
void take_ipv4_out(sockaddr_storage& address) {
    const auto v6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (address.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return;
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4.sin_family = AF_INET;
    v4.sin_port = v6.sin6_port;
    ::memcpy(&v4.sin_addr, v6.sin6_addr.s6_addr + 12, sizeof v4.sin_addr);
}

/// Version 1 of HAProxy's PROXY protocol.
void tell_sender(Channel& channel, int accepted) {
    sockaddr_storage from{}, to{};
    socklen_t from_size = sizeof from, to_size = sizeof to;
    ::getpeername(accepted, reinterpret_cast<sockaddr*>(&from), &from_size);
    ::getsockname(accepted, reinterpret_cast<sockaddr*>(&to), &to_size);
    take_ipv4_out(from);
    take_ipv4_out(to);
    char line[128], source[INET6_ADDRSTRLEN], target[INET6_ADDRSTRLEN];
    int size = ::snprintf(line, sizeof line, "PROXY UNKNOWN\r\n");
    if (from.ss_family == AF_INET && to.ss_family == AF_INET) {
        const auto& a = reinterpret_cast<const sockaddr_in&>(from);
        const auto& b = reinterpret_cast<const sockaddr_in&>(to);
        ::inet_ntop(AF_INET, &a.sin_addr, source, sizeof source);
        ::inet_ntop(AF_INET, &b.sin_addr, target, sizeof target);
        size = ::snprintf(line, sizeof line, "PROXY TCP4 %s %s %u %u\r\n", source, target, ntohs(a.sin_port),
                          ntohs(b.sin_port));
    } else if (from.ss_family == AF_INET6 && to.ss_family == AF_INET6) {
        const auto& a = reinterpret_cast<const sockaddr_in6&>(from);
        const auto& b = reinterpret_cast<const sockaddr_in6&>(to);
        ::inet_ntop(AF_INET6, &a.sin6_addr, source, sizeof source);
        ::inet_ntop(AF_INET6, &b.sin6_addr, target, sizeof target);
        size = ::snprintf(line, sizeof line, "PROXY TCP6 %s %s %u %u\r\n", source, target, ntohs(a.sin6_port),
                          ntohs(b.sin6_port));
    }
    const ssize_t written = ::write(channel.write_end, line, static_cast<std::size_t>(size));
    if (written > 0) channel.held = static_cast<std::size_t>(written);
}

void set_tcp_options(int fd) {
    const int on = 1;
    // Fail for unix sockets, which need neither.
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/// Of a path that the guest can influence: resolved beneath its root, then connected to by descriptor.
int connect_path(int fd, const char* path) {
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const int target = static_cast<int>(::syscall(SYS_openat2, kRoot, path, &how, sizeof how));
    if (target < 0) return -1;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", target);
    const int done = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = errno;
    ::close(target);
    errno = error;
    return done;
}

/// @return false when it failed at once
bool start_connecting(Connection& connection, const Route& route) {
    const int family = route.path != nullptr ? AF_UNIX : route.target.ss_family;
    const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    connection.ends[1].fd = fd;
    set_tcp_options(fd);
    const int done = route.path != nullptr
                         ? connect_path(fd, route.path)
                         : ::connect(fd, reinterpret_cast<const sockaddr*>(&route.target), route.target_size);
    if (done != 0 && errno != EINPROGRESS) return false;
    constexpr std::uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    return watch(fd, &connection.ends[1].source, kEvents);
}

void begin(int accepted, const Route& route) {
    auto* const memory = static_cast<Connection*>(::malloc(sizeof(Connection)));
    if (memory == nullptr) {
        ::close(accepted);
        return;
    }
    auto& connection = *memory;
    connection = Connection{};
    connection.ends[0].fd = accepted;
    for (End& end : connection.ends) end.connection = memory;
    set_tcp_options(accepted);
    const bool made = make_channel(connection.channels[0]) && make_channel(connection.channels[1]);
    if (!made) return close_connection(connection);
    if (settings.proxy_protocol) tell_sender(connection.channels[0], accepted);
    if (!start_connecting(connection, route)) close_connection(connection);
}

void on_connected(Connection& connection) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(connection.ends[1].fd, SOL_SOCKET, SO_ERROR, &error, &size);
    constexpr std::uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    if (error != 0 || !watch(connection.ends[0].fd, &connection.ends[0].source, kEvents))
        return close_connection(connection);
    connection.connected = true;
    pump(connection);
}

}  // namespace

void on_stream_listener(Listener& listener) {
    for (int i = 0; i < kStreamRounds; ++i) {
        const int fd = ::accept4(listener.route->listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) rest_listeners();
            return;
        }
        begin(fd, *listener.route);
    }
}

void on_stream_event(Source* source, std::uint32_t events) {
    auto* const end = reinterpret_cast<End*>(source);
    Connection& connection = *end->connection;
    if (connection.closed || connection.queued) return;
    if (connection.connected) return pump(connection);
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) on_connected(connection);
}

bool continue_streams() {
    Connection* connection = ready_first;
    ready_first = nullptr;
    ready_last = &ready_first;
    while (connection != nullptr) {
        Connection* const next = connection->next_ready;
        connection->queued = false;
        if (!connection->closed) pump(*connection);
        connection = next;
    }
    return ready_first != nullptr;
}

void free_closed_streams() {
    Connection* kept = nullptr;
    while (closed_first != nullptr) {
        Connection* const connection = closed_first;
        closed_first = connection->next_closed;
        if (connection->queued) {
            connection->next_closed = kept;  // still in the list of the ready
            kept = connection;
        } else {
            ::free(connection);
        }
    }
    closed_first = kept;
}

}  // namespace lxmgr::proxy
