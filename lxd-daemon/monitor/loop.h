#pragma once
#include <sys/types.h>

#include <cstdint>

namespace lxmgr::monitor {

/// What a descriptor in the epoll set is; the table of them is indexed by the descriptor.
enum class Kind : std::uint8_t {
    none,
    listener,
    fresh,         ///< accepted, has said nothing yet
    watcher,       ///< a daemon that gets events
    exec_channel,  ///< peer: pidfd of its command, 0 while the seat is at it
    command,       ///< pidfd; peer: its exec channel, 0 when that was closed
    init,          ///< pidfd
    master,
    console_client,
    notify,
    seat_socket,
};

struct Endpoint {
    Kind kind = Kind::none;
    pid_t pid = 0;  ///< of a command
    int peer = 0;   ///< never a real 0, which is /dev/null; so the table costs no memory until used
};

Endpoint& endpoint(int fd);
/// Adds a descriptor to the loop, which owns it from now on. @return false: too many; it is closed then
bool watch(int fd, Kind kind, pid_t pid = 0, int peer = 0);
/// Which of EPOLLIN and EPOLLOUT to wait for.
void rewatch(int fd, std::uint32_t events);
void drop(int fd);

/// Serves the container until init has ended, and records how. Never returns.
[[noreturn]] void run_loop();

}  // namespace lxmgr::monitor
