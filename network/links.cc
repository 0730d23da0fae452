#include "network/links.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <algorithm>
#include <variant>

namespace lxmgr::network {
namespace {

Link read_link(const nlmsghdr* message) {
    const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
    const NetlinkAttributes attributes(message, sizeof(ifinfomsg));
    Link link;
    link.index = info->ifi_index;
    link.name = attributes.text(IFLA_IFNAME);
    link.alias = attributes.text(IFLA_IFALIAS);
    link.kind = attributes.nested(IFLA_LINKINFO).text(IFLA_INFO_KIND);
    link.hwaddr = attributes.value(IFLA_ADDRESS, Mac{});
    link.mtu = attributes.value(IFLA_MTU, std::uint32_t{0});
    link.master = static_cast<int>(attributes.value(IFLA_MASTER, std::uint32_t{0}));
    link.up = (info->ifi_flags & IFF_UP) != 0;
    return link;
}

/// One address of a link as the kernel holds it; exactly one of the two families.
struct HeldAddress {
    std::variant<Ipv4Net, Ipv6Net> net;
    bool operator==(const HeldAddress&) const = default;
    [[nodiscard]] std::string text() const {
        return std::visit([](const auto& n) { return format(n); }, net);
    }
};

bool holds(const std::vector<HeldAddress>& list, const HeldAddress& address) {
    return std::ranges::find(list, address) != list.end();
}

Result<std::vector<HeldAddress>> global_addresses(NetlinkSocket& socket, int index) {
    ifaddrmsg request{};
    request.ifa_index = static_cast<unsigned>(index);
    std::vector<HeldAddress> out;
    const auto visit = [&out, index](const nlmsghdr* message) {
        const auto* info = static_cast<const ifaddrmsg*>(NLMSG_DATA(message));
        if (static_cast<int>(info->ifa_index) != index || info->ifa_scope != RT_SCOPE_UNIVERSE) return;
        const NetlinkAttributes attributes(message, sizeof(ifaddrmsg));
        if (info->ifa_family == AF_INET) {
            const auto raw = attributes.value(IFA_LOCAL, std::uint32_t{0});
            out.push_back({Ipv4Net{ntohl(raw), info->ifa_prefixlen}});
        } else if (info->ifa_family == AF_INET6) {
            out.push_back({Ipv6Net{attributes.value(IFA_ADDRESS, Ipv6{}), info->ifa_prefixlen}});
        }
    };
    LX_TRY(socket.dump(
        NetlinkMessage(RTM_GETADDR, 0, request), "Listing addresses", [&out] { out.clear(); }, visit));
    return out;
}

NetlinkMessage address_message(std::uint16_t type, std::uint16_t flags, int index,
                               const HeldAddress& address) {
    ifaddrmsg info{};
    info.ifa_index = static_cast<unsigned>(index);
    info.ifa_scope = RT_SCOPE_UNIVERSE;
    if (const auto* v4 = std::get_if<Ipv4Net>(&address.net)) {
        info.ifa_family = AF_INET;
        info.ifa_prefixlen = static_cast<std::uint8_t>(v4->prefix);
        NetlinkMessage message(type, flags, info);
        const std::uint32_t raw = htonl(v4->address);
        const std::uint32_t broadcast = htonl(v4->broadcast());
        message.add(IFA_LOCAL, &raw, sizeof raw);
        message.add(IFA_ADDRESS, &raw, sizeof raw);
        if (type == RTM_NEWADDR) message.add(IFA_BROADCAST, &broadcast, sizeof broadcast);
        return message;
    }
    const auto& v6 = std::get<Ipv6Net>(address.net);
    info.ifa_family = AF_INET6;
    info.ifa_prefixlen = static_cast<std::uint8_t>(v6.prefix);
    info.ifa_flags = IFA_F_NODAD;
    NetlinkMessage message(type, flags, info);
    message.add(IFA_LOCAL, v6.address.data(), v6.address.size());
    message.add(IFA_ADDRESS, v6.address.data(), v6.address.size());
    return message;
}

}  // namespace

Result<> set_link_state(NetlinkSocket& socket, const Link& link, bool up) {
    ifinfomsg info{};
    info.ifi_index = link.index;
    info.ifi_flags = up ? static_cast<unsigned>(IFF_UP) : 0;
    info.ifi_change = IFF_UP;
    return socket.change(NetlinkMessage(RTM_SETLINK, 0, info),
                         fmt::format("Bringing interface '{}' {}", link.name, up ? "up" : "down"));
}

Result<std::optional<Link>> find_link(NetlinkSocket& socket, const std::string& name) {
    NetlinkMessage message(RTM_GETLINK, 0, ifinfomsg{});
    message.add(IFLA_IFNAME, name);
    std::optional<Link> link;
    auto result = socket.get(std::move(message), fmt::format("Looking up interface '{}'", name),
                             [&link](const nlmsghdr* answer) { link = read_link(answer); });
    if (!result && result.error().sys_errno == ENODEV) return std::nullopt;
    if (!result) return std::unexpected(std::move(result).error());
    return link;
}

Result<std::optional<Link>> find_link(NetlinkSocket& socket, const Mac& hwaddr) {
    std::optional<Link> link;
    const auto visit = [&](const nlmsghdr* message) {
        if (message->nlmsg_type != RTM_NEWLINK || link) return;
        Link candidate = read_link(message);
        if (candidate.hwaddr == hwaddr) link = std::move(candidate);
    };
    LX_TRY(socket.dump(
        NetlinkMessage(RTM_GETLINK, 0, ifinfomsg{}), "Listing interfaces", [&link] { link.reset(); }, visit));
    return link;
}

Result<> create_bridge(NetlinkSocket& socket, const BridgeLink& bridge) {
    NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
    message.add(IFLA_IFNAME, bridge.name);
    message.add(IFLA_ADDRESS, bridge.hwaddr.data(), bridge.hwaddr.size());
    message.add_u32(IFLA_MTU, bridge.mtu);
    const auto info = message.begin(IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, "bridge");
    message.end(info);
    return socket.change(std::move(message), fmt::format("Creating bridge '{}'", bridge.name));
}

Result<std::vector<Link>> list_links(NetlinkSocket& socket) {
    std::vector<Link> out;
    const auto visit = [&out](const nlmsghdr* message) {
        if (message->nlmsg_type == RTM_NEWLINK) out.push_back(read_link(message));
    };
    LX_TRY(socket.dump(
        NetlinkMessage(RTM_GETLINK, 0, ifinfomsg{}), "Listing interfaces", [&out] { out.clear(); }, visit));
    return out;
}

Result<> set_master(NetlinkSocket& socket, const Link& link, int master) {
    ifinfomsg info{};
    info.ifi_index = link.index;
    if (master != 0) info.ifi_flags = info.ifi_change = IFF_UP;
    NetlinkMessage message(RTM_NEWLINK, 0, info);
    message.add_u32(IFLA_MASTER, static_cast<std::uint32_t>(master));
    return socket.change(std::move(message), fmt::format("Plugging interface '{}' into a bridge", link.name));
}

Result<bool> replug(const std::string& interface, const std::string& bridge) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_link(socket, interface));
    LX_TRY_AS(const auto master, find_link(socket, bridge));
    if (!link || !master)
        return fail(Status::not_found, fmt::format("Interface '{}' is gone", link ? bridge : interface));
    if (link->master == master->index) return false;
    LX_TRY(set_master(socket, *link, master->index));
    return true;
}

Result<> set_alias(NetlinkSocket& socket, const std::string& name, const std::string& alias) {
    NetlinkMessage mark(RTM_SETLINK, 0, ifinfomsg{});
    mark.add(IFLA_IFNAME, name);
    mark.add(IFLA_IFALIAS, alias);
    return socket.change(std::move(mark), fmt::format("Marking interface '{}'", name));
}

Result<> mark_link(NetlinkSocket& socket, const BridgeLink& bridge) {
    return set_alias(socket, bridge.name, bridge.alias);
}

Result<> set_link_up(NetlinkSocket& socket, int index, const BridgeLink& bridge) {
    ifinfomsg info{};
    info.ifi_index = index;
    info.ifi_flags = IFF_UP;
    info.ifi_change = IFF_UP;
    NetlinkMessage message(RTM_NEWLINK, 0, info);
    message.add(IFLA_ADDRESS, bridge.hwaddr.data(), bridge.hwaddr.size());
    message.add_u32(IFLA_MTU, bridge.mtu);
    const auto kind = message.begin(IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, "bridge");
    const auto data = message.begin(IFLA_INFO_DATA);
    const std::uint8_t snooping = bridge.multicast_snooping ? 1 : 0;
    message.add(IFLA_BR_MCAST_SNOOPING, &snooping, sizeof snooping);
    message.end(data);
    message.end(kind);
    return socket.change(std::move(message), fmt::format("Setting up bridge '{}'", bridge.name));
}

Result<> set_addresses(NetlinkSocket& socket, int index, const std::vector<Ipv4Net>& ipv4,
                       const std::vector<Ipv6Net>& ipv6) {
    std::vector<HeldAddress> wanted;
    for (const auto& net : ipv4) wanted.push_back({net});
    for (const auto& net : ipv6) wanted.push_back({net});
    LX_TRY_AS(const std::vector<HeldAddress> held, global_addresses(socket, index));
    for (const auto& address : held) {
        if (holds(wanted, address)) continue;
        LX_TRY(socket.change(address_message(RTM_DELADDR, 0, index, address),
                             fmt::format("Removing address {}", address.text())));
    }
    for (const auto& address : wanted) {
        if (holds(held, address)) continue;
        LX_TRY(socket.change(address_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, address),
                             fmt::format("Adding address {}", address.text())));
    }
    return {};
}

Result<std::vector<Ipv4Net>> used_ipv4_nets(NetlinkSocket& socket) {
    rtmsg request{};
    request.rtm_family = AF_INET;
    std::vector<Ipv4Net> out;
    const auto visit = [&out](const nlmsghdr* message) {
        const auto* info = static_cast<const rtmsg*>(NLMSG_DATA(message));
        if (info->rtm_family != AF_INET || info->rtm_dst_len == 0) return;
        const NetlinkAttributes attributes(message, sizeof(rtmsg));
        out.push_back({ntohl(attributes.value(RTA_DST, std::uint32_t{0})), info->rtm_dst_len});
    };
    LX_TRY(socket.dump(
        NetlinkMessage(RTM_GETROUTE, 0, request), "Listing routes", [&out] { out.clear(); }, visit));
    return out;
}

}  // namespace lxmgr::network
