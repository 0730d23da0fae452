#include "network/ipvlan.h"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <sys/socket.h>

#include "lxd-daemon/base/strings.h"
#include "network/links.h"
#include "network/when_free.h"

namespace lxmgr::network {
namespace {

constexpr int kLoopback = 1;  // in every network namespace: LOOPBACK_IFINDEX of the kernel's net/flow.h

Result<Link> parent_of_ipvlan(NetlinkSocket& socket, const std::string& name) {
    LX_TRY_AS(auto link, find_link(socket, name));
    if (!link) return fail(Status::bad_request, fmt::format("Parent interface '{}' does not exist", name));
    return *std::move(link);
}

/// Right inside the guest's namespace, under a name that nothing there has.
Result<std::string> make_link(NetlinkSocket& socket, const IpvlanRequest& request) {
    LX_TRY_AS(const Link parent, parent_of_ipvlan(socket, request.parent));
    std::string name = "ipv" + random_hex(5);
    NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
    message.add(IFLA_IFNAME, name);
    message.add_u32(IFLA_LINK, static_cast<std::uint32_t>(parent.index));
    message.add_u32(IFLA_MTU, request.mtu != 0 ? static_cast<std::uint32_t>(request.mtu) : parent.mtu);
    message.add_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(request.netns_fd));
    const auto info = message.begin(IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, "ipvlan");
    const auto data = message.begin(IFLA_INFO_DATA);
    const std::uint16_t mode = request.layer2 ? IPVLAN_MODE_L2 : IPVLAN_MODE_L3S;
    message.add(IFLA_IPVLAN_MODE, &mode, sizeof mode);
    message.end(data);
    message.end(info);
    auto made = socket.change(std::move(message),
                              fmt::format("Creating an ipvlan interface on '{}'", request.parent));
    if (made) return name;
    if (made.error().sys_errno == EOPNOTSUPP)
        return fail(Status::bad_request, "The host's kernel has no ipvlan interfaces (CONFIG_IPVLAN)");
    return std::unexpected(std::move(made).error());
}

Result<> rename_link(NetlinkSocket& socket, const Link& link, std::string_view name) {
    ifinfomsg which{};
    which.ifi_index = link.index;
    NetlinkMessage message(RTM_NEWLINK, 0, which);
    message.add(IFLA_IFNAME, name);
    return socket.change(std::move(message), fmt::format("Naming an interface '{}'", name));
}

Result<> set_up_ipvlan(const IpvlanRequest& request, const std::string& made_as) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open_in(request.netns_fd));
    LX_TRY(set_alias(socket, made_as, request.mark));
    LX_TRY_AS(const auto link, find_link(socket, made_as));
    if (!link) return fail(Status::internal, "The new interface has left the guest's network namespace");
    LX_TRY(rename_link(socket, *link, request.guest_name.empty() ? kAnyEthernetName : request.guest_name));
    for (const AnyNet& address : request.addresses) {
        auto added = when_free([&] { return add_address(socket, link->index, address); });
        if (!added && added.error().sys_errno == EADDRINUSE)
            return fail(Status::conflict, fmt::format("Another ipvlan interface on '{}' has the address {}",
                                                      request.parent, address.text()));
        LX_TRY(std::move(added));
    }
    LX_TRY(set_link_state(socket, *link, true));
    for (const AnyNet& gateway : request.gateways)
        LX_TRY(add_default_route(socket, link->index, gateway.family, &gateway));
    for (const int family : request.default_routes)
        LX_TRY(add_default_route(socket, link->index, family, nullptr));
    return {};
}

std::vector<RouteOptions> routes_to(const IpvlanRequest& request, const AnyNet& address) {
    std::vector<RouteOptions> out{{.metric = request.metric, .protocol = kNicRoutes}};
    const auto& another = address.family == AF_INET ? request.ipv4_table : request.ipv6_table;
    if (another) out.push_back({.table = *another, .metric = request.metric, .protocol = kNicRoutes});
    return out;
}

/// The host takes the parent's packets to an address for its own, which the kernel hands to the guest, and
/// answers for it (proxy ARP and NDP, which want a route out of another link than the parent).
Result<> lead_to_ipvlan(NetlinkSocket& socket, const IpvlanRequest& request) {
    if (request.layer2) return {};
    LX_TRY_AS(const Link parent, parent_of_ipvlan(socket, request.parent));
    for (const AnyNet& address : request.addresses) {
        for (const auto& route : routes_to(request, address)) {
            auto added = add_route(socket, kLoopback, address, nullptr, route);
            if (!added && added.error().sys_errno != EEXIST) return added;
        }
        // Looked for afterwards: of two NICs that come at once with one address neither gets it unseen.
        LX_TRY_AS(const bool of_another, has_route(socket, address, request.metric));
        if (of_another)
            return fail(Status::conflict, fmt::format("The host has a route to {} already", address.text()));
    }
    for (const AnyNet& address : request.addresses) LX_TRY(add_proxied(socket, parent.index, address));
    return {};
}

}  // namespace

Result<> create_ipvlan(const IpvlanRequest& request) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const std::string made_as, make_link(socket, request));
    auto done = set_up_ipvlan(request, made_as);
    if (done) done = lead_to_ipvlan(socket, request);
    if (done) return done;
    static_cast<void>(forget_ipvlan(request).has_value());
    static_cast<void>(delete_ipvlan(request.netns_fd, request.mark).has_value());
    return done;
}

Result<> delete_ipvlan(int netns_fd, const std::string& mark) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open_in(netns_fd));
    LX_TRY_AS(const auto links, list_links(socket));
    for (const Link& link : links) {
        if (link.kind != "ipvlan" || link.alias != mark) continue;
        ifinfomsg which{};
        which.ifi_index = link.index;
        auto deleted = socket.change(NetlinkMessage(RTM_DELLINK, 0, which),
                                     fmt::format("Deleting interface '{}'", link.name));
        if (!deleted && deleted.error().sys_errno != ENODEV) return deleted;
    }
    return {};
}

Result<> forget_ipvlan(const IpvlanRequest& request) {
    if (request.layer2) return {};
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    for (const AnyNet& address : request.addresses) {
        for (const auto& route : routes_to(request, address))
            LX_TRY(remove_route(socket, kLoopback, address, route));
    }
    LX_TRY_AS(const auto parent, find_link(socket, request.parent));
    if (!parent) return {};
    for (const AnyNet& address : request.addresses) {
        // Where there still is a route, another guest has the address, and this one was refused it.
        LX_TRY_AS(const bool of_another, has_route(socket, address));
        if (!of_another) LX_TRY(remove_proxied(socket, parent->index, address));
    }
    return {};
}

}  // namespace lxmgr::network
