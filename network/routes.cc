#include "network/routes.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/neighbour.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace lxmgr::network {
namespace {

NetlinkMessage neighbour(std::uint16_t type, std::uint16_t flags, int link, const AnyNet& address) {
    ndmsg info{};
    info.ndm_family = static_cast<std::uint8_t>(address.family);
    info.ndm_ifindex = link;
    info.ndm_state = NUD_PERMANENT;
    info.ndm_flags = NTF_PROXY;
    NetlinkMessage message(type, flags, info);
    message.add(NDA_DST, address.bytes, address.size());
    return message;
}

bool is_link_local(const AnyNet& address) {
    return address.family == AF_INET6 && address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

}  // namespace

AnyNet AnyNet::of(std::uint32_t ipv4) { return of(Ipv4Net{ipv4, 32}); }
AnyNet AnyNet::of(const Ipv6& ipv6) { return of(Ipv6Net{ipv6, 128}); }
AnyNet AnyNet::of(const Ipv4Net& net) {
    AnyNet out{AF_INET, {}, net.prefix};
    const std::uint32_t raw = htonl(net.address);
    std::memcpy(out.bytes, &raw, sizeof raw);
    return out;
}
AnyNet AnyNet::of(const Ipv6Net& net) {
    AnyNet out{AF_INET6, {}, net.prefix};
    std::memcpy(out.bytes, net.address.data(), net.address.size());
    return out;
}
AnyNet AnyNet::everything(int family) { return {family, {}, 0}; }

std::string AnyNet::text() const {
    char address[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(family, bytes, address, sizeof address);
    return fmt::format("{}/{}", address, prefix);
}

Result<> add_address(NetlinkSocket& socket, int link, const AnyNet& address) {
    ifaddrmsg info{};
    info.ifa_family = static_cast<std::uint8_t>(address.family);
    info.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix);
    info.ifa_index = static_cast<unsigned>(link);
    info.ifa_scope = is_link_local(address) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    if (address.family == AF_INET6) info.ifa_flags = IFA_F_NODAD;
    NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, info);
    message.add(IFA_LOCAL, address.bytes, address.size());
    message.add(IFA_ADDRESS, address.bytes, address.size());
    return socket.change(std::move(message), fmt::format("Adding address {}", address.text()));
}

Result<> add_route(NetlinkSocket& socket, int link, const AnyNet& to, const AnyNet* gateway,
                   const RouteOptions& options) {
    rtmsg info{};
    info.rtm_family = static_cast<std::uint8_t>(to.family);
    info.rtm_dst_len = static_cast<std::uint8_t>(to.prefix);
    info.rtm_table = options.table == 0 ? RT_TABLE_MAIN : RT_TABLE_UNSPEC;
    info.rtm_protocol = options.protocol;
    info.rtm_scope = gateway != nullptr || to.family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    info.rtm_type = RTN_UNICAST;
    NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, info);
    if (to.prefix > 0) message.add(RTA_DST, to.bytes, to.size());
    if (gateway != nullptr) message.add(RTA_GATEWAY, gateway->bytes, gateway->size());
    message.add_u32(RTA_OIF, static_cast<std::uint32_t>(link));
    if (options.table != 0) message.add_u32(RTA_TABLE, options.table);
    if (options.metric != 0) message.add_u32(RTA_PRIORITY, options.metric);
    return socket.change(std::move(message), fmt::format("Adding a route to {}", to.text()));
}

Result<> add_default_route(NetlinkSocket& socket, int link, int family, const AnyNet* gateway) {
    constexpr std::uint32_t kSecondChoice = 1024;
    const AnyNet all = AnyNet::everything(family);
    auto added = add_route(socket, link, all, gateway);
    if (added || added.error().sys_errno != EEXIST) return added;
    return add_route(socket, link, all, gateway, {.metric = kSecondChoice});
}

Result<> remove_route(NetlinkSocket& socket, int link, const AnyNet& to, const RouteOptions& options) {
    rtmsg info{};
    info.rtm_family = static_cast<std::uint8_t>(to.family);
    info.rtm_dst_len = static_cast<std::uint8_t>(to.prefix);
    info.rtm_table = options.table == 0 ? RT_TABLE_MAIN : RT_TABLE_UNSPEC;
    info.rtm_protocol = options.protocol;
    info.rtm_scope = RT_SCOPE_NOWHERE;  // any
    info.rtm_type = RTN_UNICAST;
    NetlinkMessage message(RTM_DELROUTE, 0, info);
    if (to.prefix > 0) message.add(RTA_DST, to.bytes, to.size());
    message.add_u32(RTA_OIF, static_cast<std::uint32_t>(link));
    if (options.table != 0) message.add_u32(RTA_TABLE, options.table);
    if (options.metric != 0) message.add_u32(RTA_PRIORITY, options.metric);
    auto done = socket.change(std::move(message), fmt::format("Removing the route to {}", to.text()));
    if (!done && done.error().sys_errno == ESRCH) return {};
    return done;
}

namespace {

Result<std::vector<AnyNet>> routes_of(NetlinkSocket& socket, int link, std::uint8_t protocol) {
    std::vector<AnyNet> out;
    const auto visit = [&](const nlmsghdr* message) {
        const auto* info = static_cast<const rtmsg*>(NLMSG_DATA(message));
        if (info->rtm_protocol != protocol || info->rtm_table != RT_TABLE_MAIN) return;
        const NetlinkAttributes attributes(message, sizeof(rtmsg));
        if (attributes.value(RTA_OIF, 0) != link) return;
        AnyNet net{info->rtm_family, {}, info->rtm_dst_len};
        const rtattr* held = attributes.find(RTA_DST);
        if (held != nullptr && RTA_PAYLOAD(held) == net.size())
            std::memcpy(net.bytes, RTA_DATA(held), net.size());
        out.push_back(net);
    };
    for (const int family : {AF_INET, AF_INET6}) {
        rtmsg request{};
        request.rtm_family = static_cast<std::uint8_t>(family);
        const auto before = out;
        LX_TRY(socket.dump(
            NetlinkMessage(RTM_GETROUTE, 0, request), "Listing routes", [&] { out = before; }, visit));
    }
    return out;
}

}  // namespace

Result<> set_routes(NetlinkSocket& socket, int link, const std::vector<AnyNet>& nets, std::uint8_t protocol) {
    LX_TRY_AS(const auto held, routes_of(socket, link, protocol));
    for (const AnyNet& net : held) {
        if (std::ranges::find(nets, net) == nets.end())
            LX_TRY(remove_route(socket, link, net, {.protocol = protocol}));
    }
    for (const AnyNet& net : nets) {
        if (std::ranges::find(held, net) != held.end()) continue;
        auto added = add_route(socket, link, net, nullptr, {.protocol = protocol});
        if (!added && added.error().sys_errno == EEXIST)
            return fail(Status::conflict, fmt::format("The host has a route to {} already", net.text()));
        LX_TRY(std::move(added));
    }
    return {};
}

Result<bool> has_route(NetlinkSocket& socket, const AnyNet& to, std::uint32_t except) {
    rtmsg request{};
    request.rtm_family = static_cast<std::uint8_t>(to.family);
    bool found = false;
    const auto visit = [&](const nlmsghdr* message) {
        const auto* info = static_cast<const rtmsg*>(NLMSG_DATA(message));
        if (info->rtm_family != to.family || info->rtm_dst_len != to.prefix) return;
        if (info->rtm_table != RT_TABLE_MAIN || info->rtm_type != RTN_UNICAST) return;
        const NetlinkAttributes attributes(message, sizeof(rtmsg));
        if (except != 0 && attributes.value(RTA_PRIORITY, std::uint32_t{0}) == except) return;
        const rtattr* held = attributes.find(RTA_DST);
        if (held != nullptr && RTA_PAYLOAD(held) == to.size() &&
            std::memcmp(RTA_DATA(held), to.bytes, to.size()) == 0)
            found = true;
    };
    LX_TRY(socket.dump(
        NetlinkMessage(RTM_GETROUTE, 0, request), "Listing routes", [&found] { found = false; }, visit));
    return found;
}

Result<> add_proxied(NetlinkSocket& socket, int link, const AnyNet& address) {
    return socket.change(neighbour(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, link, address),
                         fmt::format("Answering for {}", address.text()));
}

Result<> remove_proxied(NetlinkSocket& socket, int link, const AnyNet& address) {
    auto done = socket.change(neighbour(RTM_DELNEIGH, 0, link, address),
                              fmt::format("Answering no more for {}", address.text()));
    if (!done && (done.error().sys_errno == ENOENT || done.error().sys_errno == ENXIO)) return {};
    return done;
}

}  // namespace lxmgr::network
