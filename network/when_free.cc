#include "network/when_free.h"

#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "network/netlink.h"

namespace lxmgr::network {
namespace {

constexpr std::chrono::seconds kLongest{10};
/// A namespace none of whose links had an end on the host goes without a word.
constexpr int kGlanceMs = 20;

}  // namespace

Result<> when_free(const std::function<Result<>()>& work) {
    auto done = work();
    if (done || done.error().sys_errno != EADDRINUSE) return done;
    const auto deadline = std::chrono::steady_clock::now() + kLongest;
    // The other ends of the namespace's veth pairs go with its interfaces.
    LX_TRY_AS(const UniqueFd deleted, open_netlink_group(NETLINK_ROUTE, RTNLGRP_LINK, RTM_DELLINK));
    while (!done && done.error().sys_errno == EADDRINUSE && std::chrono::steady_clock::now() < deadline) {
        pollfd waited{.fd = deleted.get(), .events = POLLIN, .revents = 0};
        (void)::poll(&waited, 1, kGlanceMs);
        std::array<char, 8192> ignored;
        while (::recv(deleted.get(), ignored.data(), ignored.size(), 0) >= 0 || errno == ENOBUFS) {
        }
        done = work();
    }
    return done;
}

}  // namespace lxmgr::network
