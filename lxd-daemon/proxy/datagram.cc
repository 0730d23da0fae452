#include "lxd-daemon/proxy/datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

namespace lxmgr::proxy {
namespace {

constexpr std::size_t kMaxSessions = 1024;
constexpr std::int64_t kIdleSeconds = 120;
constexpr int kSweepMs = 30'000;
constexpr int kDatagramRounds = 64;

/// One sender, as UDP has no connections: answers of the target go back to it.
struct Session {
    Source source{Kind::session};
    bool used = false;
    int fd = -1;
    const Route* route = nullptr;
    sockaddr_storage sender{};
    socklen_t sender_size = 0;
    std::int64_t last_used = 0;
};

Session sessions[kMaxSessions];
std::size_t session_count = 0;
char buffer[65536];

std::int64_t now() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return time.tv_sec;
}

std::size_t hash_of(const Route* route, const sockaddr_storage& sender, socklen_t size) {
    std::size_t value = 1469598103934665603U ^ static_cast<std::size_t>(route->listener);
    const auto* bytes = reinterpret_cast<const unsigned char*>(&sender);
    for (socklen_t i = 0; i < size; ++i) value = (value ^ bytes[i]) * 1099511628211U;
    return (value ^ (value >> 32U)) % kMaxSessions;
}

void end_session(Session& session) {
    forget(session.fd);
    ::close(session.fd);
    session = Session{};
    --session_count;
}

bool is_of(const Session& session, const Route* route, const sockaddr_storage& sender, socklen_t size) {
    return session.used && session.route == route && session.sender_size == size &&
           ::memcmp(&session.sender, &sender, size) == 0;
}

/// Its own place or one of the next few; when all are taken, that of the longest silent one.
Session* place_for(const Route* route, const sockaddr_storage& sender, socklen_t size) {
    constexpr std::size_t kProbes = 16;
    const std::size_t start = hash_of(route, sender, size);
    Session* place = nullptr;
    for (std::size_t i = 0; i < kProbes; ++i) {
        Session& session = sessions[(start + i) % kMaxSessions];
        if (is_of(session, route, sender, size)) return &session;
        if (place == nullptr || (place->used && (!session.used || session.last_used < place->last_used)))
            place = &session;
    }
    if (place->used) end_session(*place);
    return place;
}

bool open_session(Session& session, const Route& route, const sockaddr_storage& sender, socklen_t size) {
    const int fd = ::socket(route.target.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    const bool good =
        ::connect(fd, reinterpret_cast<const sockaddr*>(&route.target), route.target_size) == 0 &&
        watch(fd, &session.source, EPOLLIN);
    if (!good) {
        ::close(fd);
        return false;
    }
    session.used = true;
    session.fd = fd;
    session.route = &route;
    session.sender = sender;
    session.sender_size = size;
    ++session_count;
    return true;
}

}  // namespace

void on_datagram_listener(Listener& listener) {
    const Route& route = *listener.route;
    for (int i = 0; i < kDatagramRounds; ++i) {
        sockaddr_storage sender{};
        socklen_t size = sizeof sender;
        const ssize_t received = ::recvfrom(route.listener, buffer, sizeof buffer, MSG_DONTWAIT,
                                            reinterpret_cast<sockaddr*>(&sender), &size);
        if (received < 0) return;
        Session* const session = place_for(&route, sender, size);
        if (!session->used && !open_session(*session, route, sender, size)) continue;
        session->last_used = now();
        // A lost datagram is UDP's way of pushing back.
        (void)!::send(session->fd, buffer, static_cast<std::size_t>(received), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

void on_session(Source* source) {
    auto& session = *reinterpret_cast<Session*>(source);
    for (int i = 0; session.used && i < kDatagramRounds; ++i) {
        const ssize_t received = ::recv(session.fd, buffer, sizeof buffer, MSG_DONTWAIT);
        // ECONNREFUSED: nobody listens there, now. It is read once, and the session goes on.
        if (received < 0) return;
        session.last_used = now();
        (void)!::sendto(session.route->listener, buffer, static_cast<std::size_t>(received),
                        MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&session.sender),
                        session.sender_size);
    }
}

int sweep_sessions() {
    static std::int64_t swept = 0;
    if (session_count == 0) return -1;
    const std::int64_t time = now();
    if ((time - swept) * 1000 < kSweepMs) return kSweepMs;
    swept = time;
    for (Session& session : sessions) {
        if (session.used && time - session.last_used > kIdleSeconds) end_session(session);
    }
    return session_count == 0 ? -1 : kSweepMs;
}

}  // namespace lxmgr::proxy
