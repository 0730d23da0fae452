#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>

#include "lxd-daemon/proxy/loop.h"

/// lxmgr-proxy: the forwarder of one proxy device, see devices/proxy.cc. It listens with the sockets that the
/// daemon made, and connects from the network namespace that it was given.
/// Arguments: LABEL UID GID PROXY_PROTOCOL(0|1) { KIND ADDRESS PORT }, one triple for each listener.
namespace lxmgr::proxy {

Settings settings;

namespace {

constexpr int kFixedArguments = 5;

bool parse_ip(const char* address, std::uint16_t port, Route& route) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(route.target);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(route.target);
    if (::inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        route.target_size = sizeof v4;
        return true;
    }
    if (::inet_pton(AF_INET6, address, &v6.sin6_addr) != 1) return false;
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    route.target_size = sizeof v6;
    return true;
}

bool parse_route(char** arguments, Route& route) {
    const char* const kind = arguments[0];
    const char* const address = arguments[1];
    const auto port = static_cast<std::uint16_t>(::strtoul(arguments[2], nullptr, 10));
    route.datagram = ::strcmp(kind, "udp") == 0;
    if (route.datagram || ::strcmp(kind, "tcp") == 0) return parse_ip(address, port, route);
    if (::strcmp(kind, "unix") == 0) {
        route.path = address;
        return true;
    }
    auto& name = reinterpret_cast<sockaddr_un&>(route.target);
    const std::size_t size = ::strlen(address);
    if (::strcmp(kind, "abstract") != 0 || size + 1 > sizeof name.sun_path) return false;
    name.sun_family = AF_UNIX;
    ::memcpy(name.sun_path + 1, address, size);
    route.target_size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
    return true;
}

bool parse(int argc, char** argv) {
    if (argc < kFixedArguments + 3 || (argc - kFixedArguments) % 3 != 0) return false;
    settings.route_count = static_cast<std::size_t>(argc - kFixedArguments) / 3;
    if (settings.route_count > kMaxRoutes) return false;
    settings.uid = static_cast<std::uint32_t>(::strtoul(argv[2], nullptr, 10));
    settings.gid = static_cast<std::uint32_t>(::strtoul(argv[3], nullptr, 10));
    settings.proxy_protocol = argv[4][0] == '1';
    for (std::size_t i = 0; i < settings.route_count; ++i) {
        Route& route = settings.routes[i];
        route.listener = kFirstListener + static_cast<int>(i);
        if (!parse_route(argv + kFixedArguments + 3 * i, route)) return false;
        ::fcntl(route.listener, F_SETFL, O_NONBLOCK | ::fcntl(route.listener, F_GETFL));
    }
    return true;
}

bool take_lock() {
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return ::fcntl(kLock, F_SETLK, &lock) == 0;
}

/// The namespace first, as it needs what is given up after it.
bool become_unprivileged() {
    if (::setns(kNetns, CLONE_NEWNET) != 0) return false;
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
    if (::syscall(SYS_setgroups, 0, nullptr) != 0) return false;
    if (::syscall(SYS_setresgid, settings.gid, settings.gid, settings.gid) != 0) return false;
    if (::syscall(SYS_setresuid, settings.uid, settings.uid, settings.uid) != 0) return false;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2]{};
    if (::syscall(SYS_capset, &header, none) != 0) return false;
    return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

}  // namespace
}  // namespace lxmgr::proxy

int main(int argc, char** argv) {
    using namespace lxmgr::proxy;
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    ::signal(SIGPIPE, SIG_IGN);
    // A child of nobody's: the daemon need not wait for its end.
    if (::fork() != 0) return 0;
    ::setsid();
    char answer = 0;
    if (!parse(argc, argv) || !take_lock() || !become_unprivileged()) {
        ::dprintf(kControl, "E%d", errno);
        return 1;
    }
    // The daemon may die before it says go; then nobody knows of us.
    if (::write(kControl, "R", 1) != 1 || ::read(kControl, &answer, 1) != 1) return 1;
    ::close(kControl);
    run_loop();
}
