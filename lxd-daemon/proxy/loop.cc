#include "lxd-daemon/proxy/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lxd-daemon/proxy/datagram.h"
#include "lxd-daemon/proxy/stream.h"

namespace lxmgr::proxy {
namespace {

int epoll = -1;
bool resting = false;
Listener listeners[kMaxRoutes];

void set_listeners(int operation, std::uint32_t events) {
    for (std::size_t i = 0; i < settings.route_count; ++i) {
        if (settings.routes[i].datagram && operation == EPOLL_CTL_MOD) continue;
        epoll_event event{};
        event.events = events;
        event.data.ptr = &listeners[i];
        ::epoll_ctl(epoll, operation, settings.routes[i].listener, &event);
    }
}

void dispatch(const epoll_event& event) {
    auto* const source = static_cast<Source*>(event.data.ptr);
    switch (source->kind) {
        case Kind::init:
            ::_exit(0);
        case Kind::stream_listener:
            return on_stream_listener(*reinterpret_cast<Listener*>(source));
        case Kind::datagram_listener:
            return on_datagram_listener(*reinterpret_cast<Listener*>(source));
        case Kind::stream_end:
            return on_stream_event(source, event.events);
        case Kind::session:
            return on_session(source);
    }
}

}  // namespace

bool watch(int fd, Source* source, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = source;
    return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

void forget(int fd) { ::epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr); }

void rest_listeners() {
    if (!resting) set_listeners(EPOLL_CTL_MOD, 0);
    resting = true;
}

void wake_listeners() {
    if (resting) set_listeners(EPOLL_CTL_MOD, EPOLLIN);
    resting = false;
}

void run_loop() {
    epoll = ::epoll_create1(EPOLL_CLOEXEC);
    static Source init{Kind::init};
    watch(kPidfd, &init, EPOLLIN);
    for (std::size_t i = 0; i < settings.route_count; ++i) {
        const Route& route = settings.routes[i];
        listeners[i] = {{route.datagram ? Kind::datagram_listener : Kind::stream_listener}, &route};
    }
    set_listeners(EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        const bool more = continue_streams();
        const int sweep = sweep_sessions();
        epoll_event events[64];
        const int count = ::epoll_wait(epoll, events, 64, more ? 0 : sweep);
        for (int i = 0; i < count; ++i) dispatch(events[i]);
        free_closed_streams();
    }
}

}  // namespace lxmgr::proxy
