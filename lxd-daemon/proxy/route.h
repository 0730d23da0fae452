#pragma once
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

/// What the program was started for. Single-threaded; nothing here is freed but connections and sessions.
namespace lxmgr::proxy {

/// Descriptors that the daemon gives by number (devices/proxy.cc).
constexpr int kLock = 3;     ///< held by a POSIX lock as long as we live: how the next daemon finds us
constexpr int kControl = 4;  ///< one byte each way: we are ready; go on without the daemon
constexpr int kPidfd = 5;    ///< of the container's init: its end is ours
constexpr int kNetns = 6;    ///< where connections are made
constexpr int kRoot = 7;     ///< beneath which a unix path to connect to is resolved
constexpr int kFirstListener = 8;
constexpr std::size_t kMaxRoutes = 512;

/// From one listening socket to one address.
struct Route {
    int listener = -1;
    bool datagram = false;
    sockaddr_storage target{};
    socklen_t target_size = 0;
    const char* path = nullptr;  ///< unix path below kRoot, in place of `target`
};

struct Settings {
    Route routes[kMaxRoutes];
    std::size_t route_count = 0;
    bool proxy_protocol = false;
    std::uint32_t uid = 0, gid = 0;
};
extern Settings settings;

}  // namespace lxmgr::proxy
