#pragma once
#include <cstdint>

#include "lxd-daemon/proxy/route.h"

namespace lxmgr::proxy {

enum class Kind : std::uint8_t { init, stream_listener, datagram_listener, stream_end, session };

/// First member of everything that epoll tells us of.
struct Source {
    Kind kind;
};

struct Listener {
    Source source;
    const Route* route;
};

/// False: no more descriptors or memory.
bool watch(int fd, Source* source, std::uint32_t events);
void forget(int fd);
/// accept(2) found no descriptor: listeners rest until one was closed.
void rest_listeners();
void wake_listeners();
/// Never returns.
[[noreturn]] void run_loop();

}  // namespace lxmgr::proxy
