#include "network/watch.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "lxd-daemon/base/files.h"
#include "network/netlink.h"

namespace lxmgr::network {
namespace {

constexpr std::uint16_t kNewGeneration = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN;
constexpr std::size_t kBufferBytes = 8192;

Result<> add_to(const UniqueFd& epoll, int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl", "");
    return {};
}

/// Calls visit(message) for what has arrived; true: some was lost.
template <typename Visit>
bool read_all(const UniqueFd& fd, Visit visit) {
    alignas(nlmsghdr) std::array<char, kBufferBytes> buffer;
    bool lost = false;
    while (true) {
        const ssize_t size = ::recv(fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0 && errno == ENOBUFS) {
            lost = true;
            continue;
        }
        if (size <= 0) return lost;
        auto left = static_cast<unsigned>(size);
        for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
             message = NLMSG_NEXT(message, left)) {
            visit(message);
        }
    }
}

/// The kernel says which thread made a change.
bool is_own_thread(std::uint32_t tid) { return path_exists(fmt::format("/proc/self/task/{}", tid)); }

}  // namespace

Result<std::unique_ptr<Watch>> Watch::open() {
    std::unique_ptr<Watch> out(new Watch);
    out->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!out->epoll_) return fail_errno("epoll_create1", "");
    LX_TRY_AS(out->links_, open_netlink_group(NETLINK_ROUTE, RTNLGRP_LINK, RTM_DELLINK));
    LX_TRY_AS(out->rules_, open_netlink_group(NETLINK_NETFILTER, NFNLGRP_NFTABLES, kNewGeneration));
    LX_TRY(add_to(out->epoll_, out->links_.get()));
    LX_TRY(add_to(out->epoll_, out->rules_.get()));
    return out;
}

void Watch::read_links(Events& events) {
    const auto visit = [&events](const nlmsghdr* message) {
        const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
        // AF_BRIDGE: a port has left its bridge.
        if (message->nlmsg_type != RTM_DELLINK || info->ifi_family != AF_UNSPEC) return;
        events.deleted.insert(NetlinkAttributes(message, sizeof(ifinfomsg)).text(IFLA_IFNAME));
    };
    if (read_all(links_, visit)) events.lost = true;
}

void Watch::read_rules(Events& events) {
    const auto visit = [&events](const nlmsghdr* message) {
        const NetlinkAttributes attributes(message, sizeof(nfgenmsg));
        const auto thread = ntohl(attributes.value(NFTA_GEN_PROC_PID, std::uint32_t{0}));
        if (!is_own_thread(thread)) events.rules = true;
    };
    if (read_all(rules_, visit)) events.lost = true;
}

Watch::Events Watch::take() {
    Events events;
    read_links(events);
    read_rules(events);
    std::array<epoll_event, 16> ready{};
    const std::lock_guard lock(mutex_);
    const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), 0);
    for (int i = 0; i < count; ++i) {
        for (auto at = processes_.begin(); at != processes_.end();) {
            const bool ended = at->second.get() == ready[static_cast<std::size_t>(i)].data.fd;
            if (ended) events.ended.insert(at->first);
            at = ended ? processes_.erase(at) : std::next(at);
        }
    }
    return events;
}

Result<> Watch::follow(const std::string& name, UniqueFd pidfd) {
    const std::lock_guard lock(mutex_);
    processes_.erase(name);
    if (!pidfd) return {};
    LX_TRY(add_to(epoll_, pidfd.get()));
    processes_[name] = std::move(pidfd);
    return {};
}

}  // namespace lxmgr::network
