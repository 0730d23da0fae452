#include <fmt/format.h>
#include <linux/veth.h>
#include <net/if.h>

#include "lxd-daemon/base/strings.h"
#include "network/bridge.h"
#include "network/links.h"

namespace lxmgr::network {
namespace {

constexpr ifinfomsg kUp{.ifi_family = 0,
                        .__ifi_pad = 0,
                        .ifi_type = 0,
                        .ifi_index = 0,
                        .ifi_flags = IFF_UP,
                        .ifi_change = IFF_UP};

struct Master {
    int index = 0;
    std::uint32_t mtu = 0;
};

Result<Master> find_master(NetlinkSocket& socket, const VethRequest& request) {
    if (request.bridge.empty()) return Master{};
    LX_TRY_AS(const std::optional<Link> link, find_link(socket, request.bridge));
    if (!link) return fail(Status::not_found, fmt::format("Bridge '{}' does not exist", request.bridge));
    if (link->kind != "bridge") {
        return fail(Status::bad_request, fmt::format("Interface '{}' is not a bridge", request.bridge));
    }
    return Master{link->index, link->mtu};
}

/// As LXC does (lxc.net.N.flags = up), for guests that would not do it themselves. There is no one-message
/// way: the pair is not complete while it is made, and RTM_SETLINK finds links of the socket's own namespace
/// only.
Result<> raise_guest_end(const VethRequest& request) {
    LX_TRY_AS(NetlinkSocket socket,
              request.netns_fd >= 0 ? NetlinkSocket::open_in(request.netns_fd) : NetlinkSocket::open());
    const auto hwaddr = *parse_mac(request.hwaddr);
    LX_TRY_AS(const std::optional<Link> link,
              request.guest_name.empty() ? find_link(socket, hwaddr) : find_link(socket, request.guest_name));
    if (!link) return fail(Status::internal, "The new interface has left the guest's network namespace");
    ifinfomsg up = kUp;
    up.ifi_index = link->index;
    return socket.change(NetlinkMessage(RTM_SETLINK, 0, up),
                         fmt::format("Bringing up interface '{}'", link->name));
}

Result<> prepare_host_end(NetlinkSocket& socket, const VethRequest& request) {
    LX_TRY(request.prepare());
    LX_TRY_AS(const std::optional<Link> link, find_link(socket, request.host_name));
    if (!link) return fail(Status::internal, fmt::format("Interface '{}' is gone", request.host_name));
    ifinfomsg up = kUp;
    up.ifi_index = link->index;
    return socket.change(NetlinkMessage(RTM_SETLINK, 0, up),
                         fmt::format("Bringing up interface '{}'", request.host_name));
}

}  // namespace

Result<> create_veth(const VethRequest& request) {
    LX_TRY(check_interface_name(request.host_name));
    if (!request.guest_name.empty()) LX_TRY(check_interface_name(request.guest_name));
    const auto hwaddr = parse_mac(request.hwaddr);
    if (!hwaddr) return fail(Status::bad_request, fmt::format("'{}' is not a MAC address", request.hwaddr));
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const Master master, find_master(socket, request));
    const std::uint32_t mtu = request.mtu != 0 ? static_cast<std::uint32_t>(request.mtu) : master.mtu;

    NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, request.prepare ? ifinfomsg{} : kUp);
    message.add(IFLA_IFNAME, request.host_name);
    const auto tx_queue = static_cast<std::uint32_t>(request.tx_queue);
    if (tx_queue != 0) message.add_u32(IFLA_TXQLEN, tx_queue);
    if (mtu != 0) message.add_u32(IFLA_MTU, mtu);
    if (master.index != 0) message.add_u32(IFLA_MASTER, static_cast<std::uint32_t>(master.index));
    const auto info = message.begin(IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, "veth");
    const auto data = message.begin(IFLA_INFO_DATA);
    const auto peer = message.begin(VETH_INFO_PEER);
    message.add_struct(ifinfomsg{});  // not up: veth_open() wants the pair complete, and gives ENOTCONN here
    message.add(IFLA_IFNAME, request.guest_name.empty() ? kAnyEthernetName : request.guest_name);
    message.add(IFLA_ADDRESS, hwaddr->data(), hwaddr->size());
    if (mtu != 0) message.add_u32(IFLA_MTU, mtu);
    if (tx_queue != 0) message.add_u32(IFLA_TXQLEN, tx_queue);
    if (request.netns_fd >= 0) message.add_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(request.netns_fd));
    message.end(peer);
    message.end(data);
    message.end(info);
    LX_TRY(socket.change(std::move(message), fmt::format("Creating interface '{}'", request.host_name)));
    auto raised = request.prepare ? prepare_host_end(socket, request) : Result<>{};
    if (raised) raised = raise_guest_end(request);
    if (!raised) static_cast<void>(delete_link(request.host_name));
    return raised;
}

Result<> delete_link(const std::string& name) {
    LX_TRY(check_interface_name(name));
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    NetlinkMessage message(RTM_DELLINK, 0, ifinfomsg{});
    message.add(IFLA_IFNAME, name);
    auto result = socket.change(std::move(message), fmt::format("Deleting interface '{}'", name));
    if (!result && result.error().sys_errno == ENODEV) return {};
    return result;
}

Result<> delete_veth(const std::string& name) {
    LX_TRY(check_interface_name(name));
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const std::optional<Link> link, find_link(socket, name));
    if (!link) return {};
    if (link->kind == "veth") return delete_link(name);
    return fail(Status::conflict,
                fmt::format("Interface '{}' is not an end of a veth pair: it is left alone", name));
}

std::string random_hwaddr() {
    const std::string hex = random_hex(3);
    return fmt::format("00:16:3e:{}:{}:{}", hex.substr(0, 2), hex.substr(2, 2), hex.substr(4, 2));
}

std::string random_host_name() { return "veth" + random_hex(4); }

}  // namespace lxmgr::network
