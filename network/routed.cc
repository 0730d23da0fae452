#include "network/routed.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "network/bridge.h"
#include "network/link_state.h"
#include "network/links.h"
#include "network/routes.h"

namespace lxmgr::network {
namespace {

Result<> need_setting(const std::string& name) {
    const auto held = read_file("/proc/sys/" + name, 64);
    if (held && trim(*held) == "1") return {};
    std::string dotted = name;
    for (char& c : dotted) c = c == '/' ? '.' : c;
    return fail(
        Status::bad_request,
        fmt::format("A NIC whose addresses the host routes needs the sysctl {}=1 on the host", dotted));
}

/// Packets of the guest are routed, and its own end of IPv6 listens to nobody's advertisements.
Result<> set_forwarding(const std::string& link, bool ipv6) {
    LX_TRY(write_existing(fmt::format("/proc/sys/net/ipv4/conf/{}/forwarding", link), "1"));
    if (!ipv6) return {};
    LX_TRY(write_existing(fmt::format("/proc/sys/net/ipv6/conf/{}/accept_ra", link), "0"));
    return write_existing(fmt::format("/proc/sys/net/ipv6/conf/{}/forwarding", link), "1");
}

std::vector<AnyNet> addresses_of(const RoutedRequest& request) {
    std::vector<AnyNet> out;
    for (const auto address : request.ipv4) out.push_back(AnyNet::of(address));
    for (const auto& address : request.ipv6) out.push_back(AnyNet::of(address));
    return out;
}

std::vector<AnyNet> nets_of(const RoutedNets& nets) {
    std::vector<AnyNet> out;
    for (const auto& net : nets.ipv4) out.push_back(AnyNet::of(Ipv4Net{net.network(), net.prefix}));
    for (const auto& net : nets.ipv6) out.push_back(AnyNet::of(Ipv6Net{net.network(), net.prefix}));
    return out;
}

Result<> add_only_route(NetlinkSocket& socket, int link, const AnyNet& to, std::uint32_t table) {
    auto added = add_route(socket, link, to, nullptr, {.table = table});
    if (added || added.error().sys_errno != EEXIST) return added;
    return fail(Status::conflict, fmt::format("The host has a route to {} already", to.text()));
}

/// The table of a VRF; 0: it is none.
Result<std::uint32_t> table_of_vrf(NetlinkSocket& socket, const std::string& vrf) {
    NetlinkMessage message(RTM_GETLINK, 0, ifinfomsg{});
    message.add(IFLA_IFNAME, vrf);
    std::uint32_t table = 0;
    LX_TRY(socket.get(
        std::move(message), fmt::format("Looking up VRF '{}'", vrf), [&table](const nlmsghdr* answer) {
            const auto info = NetlinkAttributes(answer, sizeof(ifinfomsg)).nested(IFLA_LINKINFO);
            if (info.text(IFLA_INFO_KIND) == "vrf")
                table = info.nested(IFLA_INFO_DATA).value(IFLA_VRF_TABLE, std::uint32_t{0});
        }));
    return table;
}

/// The table that the routes are in unless others are asked for; 0: the main one.
Result<std::uint32_t> join_vrf(NetlinkSocket& socket, const Link& link, const std::string& vrf) {
    if (vrf.empty()) return std::uint32_t{0};
    LX_TRY_AS(const auto master, find_link(socket, vrf));
    if (!master) return fail(Status::bad_request, fmt::format("VRF '{}' does not exist on the host", vrf));
    LX_TRY_AS(const std::uint32_t table, table_of_vrf(socket, vrf));
    if (table == 0) return fail(Status::bad_request, fmt::format("Interface '{}' is not a VRF", vrf));
    if (link.master != master->index) LX_TRY(set_master(socket, link, master->index));
    return table;
}

Result<> set_up_host(NetlinkSocket& socket, const RoutedRequest& request) {
    LX_TRY_AS(const auto link, find_link(socket, request.host_name));
    if (!link) return fail(Status::internal, fmt::format("Interface '{}' is gone", request.host_name));
    LX_TRY(set_forwarding(request.host_name, !request.ipv6.empty()));
    LX_TRY_AS(const std::uint32_t main_table, join_vrf(socket, *link, request.vrf));
    if (!request.ipv4.empty()) LX_TRY(add_address(socket, link->index, AnyNet::of(request.ipv4_host)));
    if (!request.ipv6.empty()) LX_TRY(add_address(socket, link->index, AnyNet::of(request.ipv6_host)));
    std::vector<AnyNet> routes = addresses_of(request);
    for (const AnyNet& net : nets_of(request.routes)) routes.push_back(net);
    for (const AnyNet& to : routes) {
        std::vector<std::uint32_t> tables = to.family == AF_INET ? request.ipv4_tables : request.ipv6_tables;
        if (tables.empty()) tables.push_back(main_table);
        for (const std::uint32_t table : tables) LX_TRY(add_only_route(socket, link->index, to, table));
    }
    return {};
}

Result<> answer_for(NetlinkSocket& socket, const RoutedRequest& request) {
    if (request.parent.empty()) return {};
    LX_TRY_AS(const auto parent, find_link(socket, request.parent));
    if (!parent)
        return fail(Status::bad_request, fmt::format("Parent interface '{}' does not exist", request.parent));
    for (const AnyNet& address : addresses_of(request)) LX_TRY(add_proxied(socket, parent->index, address));
    return {};
}

Result<> set_up_guest(const RoutedRequest& request) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open_in(request.netns_fd));
    LX_TRY_AS(const auto link, find_link(socket, *parse_mac(request.hwaddr)));
    if (!link) return fail(Status::internal, "The new interface has left the guest's network namespace");
    for (const AnyNet& address : addresses_of(request)) LX_TRY(add_address(socket, link->index, address));
    const auto use_gateway = [&](const AnyNet& gateway) -> Result<> {
        // A link-local one is on the link anyway.
        if (gateway.family == AF_INET) LX_TRY(add_route(socket, link->index, gateway, nullptr));
        return add_default_route(socket, link->index, gateway.family, &gateway);
    };
    if (!request.ipv4.empty() && request.ipv4_gateway) LX_TRY(use_gateway(AnyNet::of(request.ipv4_host)));
    if (!request.ipv6.empty() && request.ipv6_gateway) LX_TRY(use_gateway(AnyNet::of(request.ipv6_host)));
    return {};
}

}  // namespace

Result<> route_through(const std::string& interface, const RoutedNets& nets) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_link(socket, interface));
    if (!link) return fail(Status::internal, fmt::format("Interface '{}' is gone", interface));
    return set_routes(socket, link->index, nets_of(nets), RTPROT_STATIC);
}

Result<> unroute_nic(const std::string& bridge, const RoutedNets& nets) {
    if (nets.empty()) return {};
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_link(socket, bridge));
    if (!link) return {};
    for (const AnyNet& to : nets_of(nets))
        LX_TRY(remove_route(socket, link->index, to, {.protocol = kNicRoutes}));
    return {};
}

Result<> route_to_nic(const BridgedNets& nic) {
    if (nic.nets.empty()) return {};
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_link(socket, nic.bridge));
    if (!link) return fail(Status::internal, fmt::format("Bridge '{}' is gone", nic.bridge));
    std::vector<AnyNet> done;
    for (const AnyNet& to : nets_of(nic.nets)) {
        const bool is_ipv4 = to.family == AF_INET;
        std::optional<AnyNet> gateway;
        if (is_ipv4 && nic.ipv4) gateway = AnyNet::of(*nic.ipv4);
        if (!is_ipv4 && nic.ipv6) gateway = AnyNet::of(*nic.ipv6);
        auto added =
            add_route(socket, link->index, to, gateway ? &*gateway : nullptr, {.protocol = kNicRoutes});
        if (added) {
            done.push_back(to);
            continue;
        }
        for (const AnyNet& undo : done)
            static_cast<void>(remove_route(socket, link->index, undo, {.protocol = kNicRoutes}).has_value());
        if (added.error().sys_errno != EEXIST) return added;
        return fail(Status::conflict, fmt::format("The host has a route to {} already", to.text()));
    }
    return {};
}

Result<> check_routed_parent(const std::string& parent, bool ipv4, bool ipv6) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_link(socket, parent));
    if (!link) return fail(Status::bad_request, fmt::format("Parent interface '{}' does not exist", parent));
    if (ipv4) LX_TRY(need_setting(fmt::format("net/ipv4/conf/{}/forwarding", parent)));
    if (!ipv6) return {};
    LX_TRY(need_setting("net/ipv6/conf/all/forwarding"));
    LX_TRY(need_setting(fmt::format("net/ipv6/conf/{}/forwarding", parent)));
    LX_TRY(need_setting("net/ipv6/conf/all/proxy_ndp"));
    return need_setting(fmt::format("net/ipv6/conf/{}/proxy_ndp", parent));
}

Result<> create_routed(const RoutedRequest& request) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    VethRequest pair{request.host_name, request.guest_name, request.hwaddr,   "",
                     request.mtu,       request.netns_fd,   request.tx_queue, request.prepare};
    if (pair.mtu == 0 && !request.parent.empty()) {
        LX_TRY_AS(const auto parent, find_link(socket, request.parent));
        if (parent) pair.mtu = static_cast<int>(parent->mtu);
    }
    LX_TRY(create_veth(pair));
    auto done = set_up_host(socket, request);
    if (done) done = set_up_guest(request);
    if (done) done = answer_for(socket, request);
    if (done && !request.connected) done = connect_routed(request, false);
    if (!done) static_cast<void>(remove_routed(request).has_value());
    return done;
}

Result<> connect_routed(const RoutedRequest& request, bool connected) {
    LX_TRY_AS(const bool changed, set_link_state(request.host_name, connected));
    if (!changed || !connected) return {};
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    auto done = set_up_host(socket, request);
    if (!done) static_cast<void>(set_link_state(request.host_name, false).has_value());
    return done;
}

Result<> remove_routed(const RoutedRequest& request) {
    LX_TRY(delete_veth(request.host_name));  // its routes go with it
    if (request.parent.empty()) return {};
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto parent, find_link(socket, request.parent));
    if (!parent) return {};
    for (const AnyNet& address : addresses_of(request)) {
        // Where there still is a route, another guest has the address, and this one was refused it.
        LX_TRY_AS(const bool of_another, has_route(socket, address));
        if (!of_another) LX_TRY(remove_proxied(socket, parent->index, address));
    }
    return {};
}

}  // namespace lxmgr::network
