#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <algorithm>
#include <optional>

#include "network/bridge.h"
#include "network/links.h"
#include "network/namespace_id.h"

namespace lxmgr::network {
namespace {

/// None: our own namespace.
using Target = std::optional<NamespaceId>;

const char* type_of(unsigned flags) {
    if ((flags & IFF_BROADCAST) != 0) return "broadcast";
    if ((flags & IFF_LOOPBACK) != 0) return "loopback";
    if ((flags & IFF_POINTOPOINT) != 0) return "point-to-point";
    return "unknown";
}

Counters read_counters(const NetlinkAttributes& attributes) {
    // A kernel older than our header gives a shorter struct: its tail stays zero.
    rtnl_link_stats64 stats{};
    if (const rtattr* raw = attributes.find(IFLA_STATS64); raw != nullptr) {
        std::memcpy(&stats, RTA_DATA(raw), std::min<std::size_t>(RTA_PAYLOAD(raw), sizeof stats));
    }
    return {stats.rx_bytes,  stats.tx_bytes,  stats.rx_packets, stats.tx_packets,
            stats.rx_errors, stats.tx_errors, stats.rx_dropped, stats.tx_dropped};
}

InterfaceState read_state(const nlmsghdr* message) {
    const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
    const NetlinkAttributes attributes(message, sizeof(ifinfomsg));
    InterfaceState out;
    out.index = info->ifi_index;
    out.name = attributes.text(IFLA_IFNAME);
    out.kind = attributes.nested(IFLA_LINKINFO).text(IFLA_INFO_KIND);
    out.state = (info->ifi_flags & IFF_UP) != 0 ? "up" : "down";
    out.type = type_of(info->ifi_flags);
    out.mtu = static_cast<int>(attributes.value(IFLA_MTU, std::uint32_t{0}));
    const auto hwaddr = attributes.value(IFLA_ADDRESS, Mac{});
    if ((info->ifi_flags & IFF_LOOPBACK) == 0 && attributes.find(IFLA_ADDRESS) != nullptr) {
        out.hwaddr = format_mac(hwaddr);
    }
    out.counters = read_counters(attributes);
    return out;
}

std::optional<Address> read_address(const nlmsghdr* message) {
    const auto* info = static_cast<const ifaddrmsg*>(NLMSG_DATA(message));
    const NetlinkAttributes attributes(message, sizeof(ifaddrmsg));
    Address out;
    if (info->ifa_family == AF_INET) {
        const auto peer = attributes.value(IFA_ADDRESS, std::uint32_t{0});
        out.family = "inet";
        out.address = format_ipv4(ntohl(attributes.value(IFA_LOCAL, peer)));
    } else if (info->ifa_family == AF_INET6) {
        out.family = "inet6";
        out.address = format_ipv6(attributes.value(IFA_ADDRESS, Ipv6{}));
    } else {
        return std::nullopt;
    }
    out.netmask = std::to_string(info->ifa_prefixlen);
    out.scope = "global";
    if (info->ifa_scope == RT_SCOPE_LINK) out.scope = "link";
    if (info->ifa_scope == RT_SCOPE_HOST) out.scope = "local";
    return out;
}

Result<> dump_links(NetlinkSocket& socket, Target target, std::vector<InterfaceState>& out) {
    NetlinkMessage request(RTM_GETLINK, 0, ifinfomsg{});
    if (target) request.add_u32(IFLA_TARGET_NETNSID, static_cast<std::uint32_t>(*target));
    return socket.dump(
        request, "Listing interfaces", [&out] { out.clear(); },
        [&out](const nlmsghdr* message) {
            if (message->nlmsg_type == RTM_NEWLINK) out.push_back(read_state(message));
        });
}

Result<> dump_addresses(NetlinkSocket& socket, Target target, std::vector<InterfaceState>& out) {
    NetlinkMessage request(RTM_GETADDR, 0, ifaddrmsg{});
    if (target) request.add_u32(IFA_TARGET_NETNSID, static_cast<std::uint32_t>(*target));
    const auto restart = [&out] {
        for (auto& interface : out) interface.addresses.clear();
    };
    const auto visit = [&out](const nlmsghdr* message) {
        if (message->nlmsg_type != RTM_NEWADDR) return;
        const auto index = static_cast<int>(static_cast<const ifaddrmsg*>(NLMSG_DATA(message))->ifa_index);
        const auto at = std::ranges::find(out, index, &InterfaceState::index);
        if (at == out.end()) return;  // came after the links were read
        if (auto address = read_address(message)) at->addresses.push_back(*std::move(address));
    };
    return socket.dump(request, "Listing addresses", restart, visit);
}

Result<std::vector<InterfaceState>> read_interfaces(NetlinkSocket& socket, Target target) {
    std::vector<InterfaceState> out;
    LX_TRY(dump_links(socket, target, out));
    LX_TRY(dump_addresses(socket, target, out));
    return out;
}

}  // namespace

Result<std::vector<InterfaceState>> interface_states() {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    return read_interfaces(socket, std::nullopt);
}

Result<std::vector<InterfaceState>> interface_states_of(int netns_fd) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const NamespaceId id, namespace_id(socket, netns_fd));
    return read_interfaces(socket, id);
}

Result<InterfaceState> interface_state(const std::string& name) {
    LX_TRY_AS(auto all, interface_states());
    const auto at = std::ranges::find(all, name, &InterfaceState::name);
    if (at == all.end()) return fail(Status::not_found, fmt::format("Interface '{}' does not exist", name));
    return std::move(*at);
}

}  // namespace lxmgr::network
