#include "network/address_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>

#include "lxd-daemon/sys/enter.h"

namespace lxmgr::network {
namespace {

Result<> open_here(UniqueFd& out) {
    UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
    if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno("Watching", "the addresses of an instance");
    out = std::move(fd);
    return {};
}

}  // namespace

Result<UniqueFd> watch_addresses(int netns_fd) {
    UniqueFd fd;
    auto opened = sys::in_network_namespace(netns_fd, [&fd] { return open_here(fd); });
    if (!opened) return std::unexpected(std::move(opened).error());
    return fd;
}

void drain_address_watch(int socket) {
    std::array<char, 8192> buffer;
    // ENOBUFS means that some were lost, which is readable too, once.
    while (::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT) > 0 || errno == ENOBUFS) errno = 0;
}

}  // namespace lxmgr::network
