#include "network/macvlan.h"

#include <fmt/format.h>
#include <net/if.h>

#include "network/bridge.h"
#include "network/link_state.h"
#include "network/links.h"
#include "network/when_free.h"

namespace lxmgr::network {
namespace {

/// linux/if_link.h, MACVLAN_MODE_*.
std::uint32_t mode_number(const std::string& mode) {
    if (mode == "private") return MACVLAN_MODE_PRIVATE;
    if (mode == "vepa") return MACVLAN_MODE_VEPA;
    if (mode == "passthru") return MACVLAN_MODE_PASSTHRU;
    return MACVLAN_MODE_BRIDGE;
}

Result<> raise(int netns_fd, const Mac& hwaddr) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open_in(netns_fd));
    LX_TRY_AS(const auto link, find_link(socket, hwaddr));
    if (!link) return fail(Status::internal, "The new interface has left the guest's network namespace");
    auto raised = when_free([&] { return set_link_state(socket, *link, true); });
    if (raised || raised.error().sys_errno != EADDRINUSE) return raised;
    return fail(Status::conflict, "Another interface on the parent has its MAC address");
}

}  // namespace

Result<> create_macvlan(const MacvlanRequest& request) {
    LX_TRY_AS(const Mac hwaddr, require_mac(request.hwaddr));
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto parent, find_link(socket, request.parent));
    if (!parent)
        return fail(Status::bad_request, fmt::format("Parent interface '{}' does not exist", request.parent));

    NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
    message.add(IFLA_IFNAME, request.guest_name.empty() ? kAnyEthernetName : request.guest_name);
    message.add_u32(IFLA_LINK, static_cast<std::uint32_t>(parent->index));
    message.add(IFLA_ADDRESS, hwaddr.data(), hwaddr.size());
    message.add_u32(IFLA_MTU, request.mtu != 0 ? static_cast<std::uint32_t>(request.mtu) : parent->mtu);
    message.add_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(request.netns_fd));
    const auto info = message.begin(IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, "macvlan");
    const auto data = message.begin(IFLA_INFO_DATA);
    message.add_u32(IFLA_MACVLAN_MODE, mode_number(request.mode));
    message.end(data);
    message.end(info);
    LX_TRY(socket.change(std::move(message),
                         fmt::format("Creating a macvlan interface on '{}'", request.parent)));
    auto raised = raise(request.netns_fd, hwaddr);
    if (raised && !request.connected) raised = set_macvlan_carrier(request.netns_fd, request.hwaddr, false);
    if (!raised) static_cast<void>(delete_macvlan(request.netns_fd, request.hwaddr));
    return raised;
}

Result<> delete_macvlan(int netns_fd, const std::string& hwaddr) {
    LX_TRY_AS(const Mac mac, require_mac(hwaddr));
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open_in(netns_fd));
    LX_TRY_AS(const auto link, find_link(socket, mac));
    if (!link || link->kind != "macvlan") return {};
    ifinfomsg which{};
    which.ifi_index = link->index;
    auto deleted = socket.change(NetlinkMessage(RTM_DELLINK, 0, which),
                                 fmt::format("Deleting interface '{}'", link->name));
    if (!deleted && deleted.error().sys_errno == ENODEV) return {};
    return deleted;
}

}  // namespace lxmgr::network
