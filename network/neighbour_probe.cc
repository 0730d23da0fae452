#include "network/neighbour_probe.h"

#include <fmt/format.h>
#include <linux/neighbour.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "network/links.h"
#include "network/routes.h"

namespace lxmgr::network {
namespace {

/// Of a machine on the same link; arping(8) waits as long for a first answer.
constexpr std::chrono::milliseconds kProbePatience{250};
constexpr std::size_t kReplyBytes = 8192;

NetlinkMessage entry(std::uint16_t type, std::uint16_t flags, int link, const AnyNet& address) {
    ndmsg info{};
    info.ndm_family = static_cast<std::uint8_t>(address.family);
    info.ndm_ifindex = link;
    // The kernel resolves it, as for a packet.
    if (type == RTM_NEWNEIGH) info.ndm_flags = NTF_USE;
    NetlinkMessage message(type, flags, info);
    message.add(NDA_DST, address.bytes, address.size());
    return message;
}

Result<UniqueFd> watch_neighbours() {
    UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_NEIGH;
    if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno("Watching", "neighbours");
    return fd;
}

/// The address that a message says has been found; nullptr: none of these.
const AnyNet* found_in(const nlmsghdr* message, int link, const std::vector<AnyNet>& addresses) {
    if (message->nlmsg_type != RTM_NEWNEIGH) return nullptr;
    const auto* info = static_cast<const ndmsg*>(NLMSG_DATA(message));
    if (info->ndm_ifindex != link || (info->ndm_state & NUD_REACHABLE) == 0) return nullptr;
    const NetlinkAttributes attributes(message, sizeof(ndmsg));
    const rtattr* held = attributes.find(NDA_DST);
    const auto same = [&](const AnyNet& one) {
        return held != nullptr && one.family == info->ndm_family && RTA_PAYLOAD(held) == one.size() &&
               std::memcmp(RTA_DATA(held), one.bytes, one.size()) == 0;
    };
    const auto at = std::ranges::find_if(addresses, same);
    return at == addresses.end() ? nullptr : &*at;
}

const AnyNet* read_answers(int fd, int link, const std::vector<AnyNet>& addresses) {
    alignas(nlmsghdr) std::array<char, kReplyBytes> buffer;
    while (true) {
        const ssize_t size = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0 && errno == ENOBUFS) continue;
        if (size <= 0) return nullptr;
        auto left = static_cast<unsigned>(size);
        for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
             message = NLMSG_NEXT(message, left)) {
            if (const AnyNet* found = found_in(message, link, addresses)) return found;
        }
    }
}

const AnyNet* wait_for_answer(int fd, int link, const std::vector<AnyNet>& addresses) {
    const auto end = std::chrono::steady_clock::now() + kProbePatience;
    while (true) {
        if (const AnyNet* found = read_answers(fd, link, addresses)) return found;
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return nullptr;
        pollfd ready{fd, POLLIN, 0};
        if (::poll(&ready, 1, static_cast<int>(left.count())) < 0 && errno != EINTR) return nullptr;
    }
}

}  // namespace

Result<> probe_neighbours(const std::string& interface, const Wanted& wanted) {
    std::vector<AnyNet> addresses;
    for (const auto address : wanted.ipv4) addresses.push_back(AnyNet::of(address));
    for (const auto& address : wanted.ipv6) addresses.push_back(AnyNet::of(address));
    if (interface.empty() || addresses.empty()) return {};
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_link(socket, interface));
    if (!link || !link->up) return {};
    LX_TRY_AS(const UniqueFd answers, watch_neighbours());
    const auto forget = [&](const AnyNet& address) {
        static_cast<void>(
            socket.change(entry(RTM_DELNEIGH, 0, link->index, address), "Forgetting a neighbour")
                .has_value());
    };
    for (const auto& address : addresses) {
        forget(address);  // what was there may have left since
        LX_TRY(socket.change(entry(RTM_NEWNEIGH, NLM_F_CREATE, link->index, address),
                             fmt::format("Asking who has {}", address.text())));
    }
    const AnyNet* found = wait_for_answer(answers.get(), link->index, addresses);
    for (const auto& address : addresses) forget(address);
    if (found == nullptr) return {};
    std::string text = found->text();
    text.erase(text.find('/'));
    return fail(Status::conflict,
                fmt::format("Address {} is in use on the network of '{}'", text, interface));
}

}  // namespace lxmgr::network
