#include "network/tunnels.h"

#include <arpa/inet.h>
#include <fmt/format.h>
// clang-format off: linux/if_tunnel.h takes in linux/if.h, which stands back for net/if.h only where that came first.
#include <net/if.h>
// clang-format on
#include <linux/if_link.h>
#include <linux/if_tunnel.h>

#include <algorithm>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "network/bridge.h"
#include "network/digest.h"
#include "network/links.h"

namespace lxmgr::network {
namespace {

constexpr std::uint32_t kMaxVxlanId = (1U << 24) - 1;
constexpr std::uint32_t kDefaultGroup = 0xef000001;  // 239.0.0.1, as in LXD

std::unexpected<Error> must_be(std::string_view what) {
    return fail(Status::bad_request, fmt::format("must be {}", what));
}

bool is_ipv4(const AnyAddress& address) { return std::holds_alternative<std::uint32_t>(address); }
bool is_multicast(const AnyAddress& address) {
    if (const auto* v4 = std::get_if<std::uint32_t>(&address)) return *v4 >> 28 == 0xe;
    return std::get<Ipv6>(address)[0] == 0xff;
}
std::string format_any(const AnyAddress& address) {
    if (const auto* v4 = std::get_if<std::uint32_t>(&address)) return format_ipv4(*v4);
    return format_ipv6(std::get<Ipv6>(address));
}

template <typename Number>
Result<> set_number(Number& to, std::string_view value, std::uint64_t first, std::uint64_t last) {
    const auto number = parse_uint(value);
    if (!number || *number < first || *number > last)
        return must_be(fmt::format("a number from {} to {}", first, last));
    to = static_cast<Number>(*number);
    return {};
}

Result<> set_address(std::optional<AnyAddress>& to, std::string_view value) {
    to = parse_address(value);
    return to ? Result<>{} : must_be("an IP address");
}

Result<> set_protocol(Tunnel& tunnel, std::string_view value) {
    if (value == "gre") {
        tunnel.protocol = Tunnel::Protocol::gre;
    } else if (value == "vxlan") {
        tunnel.protocol = Tunnel::Protocol::vxlan;
    } else {
        return must_be("gre or vxlan");
    }
    return {};
}

Result<> set_part(Tunnel& tunnel, std::string_view part, std::string_view value) {
    if (part == "protocol") return set_protocol(tunnel, value);
    if (part == "local") return set_address(tunnel.local, value);
    if (part == "remote") return set_address(tunnel.remote, value);
    if (part == "group") return set_address(tunnel.group, value);
    if (part == "id") return set_number(tunnel.id, value, 0, kMaxVxlanId);
    if (part == "port") return set_number(tunnel.port, value, 0, 65535);
    if (part == "ttl") return set_number(tunnel.ttl, value, 1, 255);
    if (part != "interface") return fail(Status::bad_request, "is no key of a tunnel");
    LX_TRY(check_interface_name(value));
    tunnel.interface = value;
    return {};
}

std::string link_name(const std::string& bridge, const Tunnel& tunnel) { return bridge + "-" + tunnel.name; }

Result<> check_one(const std::string& bridge, const Tunnel& tunnel) {
    const auto bad = [&tunnel](std::string_view why) {
        return fail(Status::bad_request, fmt::format("Tunnel '{}': {}", tunnel.name, why));
    };
    if (!check_interface_name(link_name(bridge, tunnel)))
        return bad(fmt::format("its interface '{}' would have no valid name (15 characters at most)",
                               link_name(bridge, tunnel)));
    if (tunnel.protocol == Tunnel::Protocol::none) return bad("it needs a protocol, gre or vxlan");
    if (tunnel.local.has_value() != tunnel.remote.has_value()) return bad("local and remote go together");
    if (tunnel.local && is_ipv4(*tunnel.local) != is_ipv4(*tunnel.remote))
        return bad("local and remote must be of one family");
    if (tunnel.protocol == Tunnel::Protocol::gre && !tunnel.remote) return bad("gre needs local and remote");
    if (tunnel.protocol == Tunnel::Protocol::gre && tunnel.group) return bad("group is for vxlan");
    if (tunnel.group && tunnel.remote) return bad("it has either group, or local and remote");
    if (tunnel.group && !is_multicast(*tunnel.group)) return bad("group must be a multicast address");
    if (tunnel.protocol == Tunnel::Protocol::vxlan && !tunnel.remote && tunnel.interface.empty())
        return bad("vxlan by multicast needs interface, else local and remote");
    return {};
}

/// All that the link is made of: a link with another description is made anew.
std::string description_of(const Tunnel& tunnel, std::uint32_t mtu) {
    std::string out = fmt::format("{} {} {} {} {} {}", static_cast<int>(tunnel.protocol), tunnel.interface,
                                  tunnel.id, tunnel.port, tunnel.ttl, mtu);
    for (const auto& address : {tunnel.local, tunnel.remote, tunnel.group})
        out += " " + (address ? format_any(*address) : "-");
    return out;
}

void add_address(NetlinkMessage& message, std::uint16_t v4_type, std::uint16_t v6_type,
                 const AnyAddress& address) {
    if (const auto* v4 = std::get_if<std::uint32_t>(&address)) {
        message.add_u32(v4_type, htonl(*v4));
    } else {
        const auto& v6 = std::get<Ipv6>(address);
        message.add(v6_type, v6.data(), v6.size());
    }
}

Result<> add_vxlan(NetlinkSocket& socket, NetlinkMessage& message, const Tunnel& tunnel) {
    message.add_u32(IFLA_VXLAN_ID, tunnel.id);
    const std::uint16_t port = htons(tunnel.port == 0 ? 8472 : tunnel.port);
    message.add(IFLA_VXLAN_PORT, &port, sizeof port);
    const AnyAddress to = tunnel.remote.value_or(tunnel.group.value_or(kDefaultGroup));
    add_address(message, IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6, to);
    if (tunnel.local) add_address(message, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6, *tunnel.local);
    if (!tunnel.remote) message.add(IFLA_VXLAN_TTL, &tunnel.ttl, sizeof tunnel.ttl);
    if (tunnel.interface.empty()) return {};
    LX_TRY_AS(const auto parent, find_link(socket, tunnel.interface));
    if (!parent) {
        return fail(Status::bad_request,
                    fmt::format("Tunnel '{}': interface '{}' does not exist", tunnel.name, tunnel.interface));
    }
    message.add_u32(IFLA_VXLAN_LINK, static_cast<std::uint32_t>(parent->index));
    return {};
}

const char* kind_of(const Tunnel& tunnel) {
    if (tunnel.protocol == Tunnel::Protocol::vxlan) return "vxlan";
    return is_ipv4(*tunnel.remote) ? "gretap" : "ip6gretap";
}

Result<> create_tunnel(NetlinkSocket& socket, const std::string& name, const Tunnel& tunnel,
                       std::uint32_t mtu, int master) {
    ifinfomsg up{};
    up.ifi_flags = up.ifi_change = IFF_UP;
    NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, up);
    message.add(IFLA_IFNAME, name);
    message.add_u32(IFLA_MTU, mtu);
    message.add_u32(IFLA_MASTER, static_cast<std::uint32_t>(master));
    const auto info = message.begin(IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, kind_of(tunnel));
    const auto data = message.begin(IFLA_INFO_DATA);
    if (tunnel.protocol == Tunnel::Protocol::vxlan) {
        LX_TRY(add_vxlan(socket, message, tunnel));
    } else {
        add_address(message, IFLA_GRE_LOCAL, IFLA_GRE_LOCAL, *tunnel.local);
        add_address(message, IFLA_GRE_REMOTE, IFLA_GRE_REMOTE, *tunnel.remote);
    }
    message.end(data);
    message.end(info);
    auto created = socket.change(std::move(message), fmt::format("Creating tunnel '{}'", name));
    if (!created && created.error().sys_errno == EOPNOTSUPP) {
        return fail(Status::bad_request,
                    fmt::format("Tunnel '{}': this host's kernel has no tunnels of kind {}", tunnel.name,
                                kind_of(tunnel)));
    }
    return created;
}

bool is_tunnel(const Link& link) {
    return link.kind == "vxlan" || link.kind == "gretap" || link.kind == "ip6gretap";
}

}  // namespace

std::optional<AnyAddress> parse_address(std::string_view text) {
    if (const auto v4 = parse_ipv4(text)) return *v4;
    if (const auto v6 = parse_ipv6(text)) return *v6;
    return std::nullopt;
}

Result<> set_tunnel_key(std::vector<Tunnel>& tunnels, std::string_view key, std::string_view value) {
    const auto dot = key.rfind('.');
    if (dot == std::string_view::npos || dot == 0) return fail(Status::bad_request, "is no key of a tunnel");
    const std::string_view name = key.substr(0, dot);
    auto found = std::ranges::find(tunnels, name, &Tunnel::name);
    if (found == tunnels.end()) {
        tunnels.push_back({.name = std::string(name)});
        found = std::prev(tunnels.end());
    }
    return set_part(*found, key.substr(dot + 1), value);
}

Result<> check_tunnels(const std::string& bridge, const std::vector<Tunnel>& tunnels) {
    for (const Tunnel& tunnel : tunnels) LX_TRY(check_one(bridge, tunnel));
    return {};
}

Result<> apply_tunnels(const std::string& bridge, const std::string& alias, std::uint32_t mtu,
                       const std::vector<Tunnel>& tunnels) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto links, list_links(socket));
    const auto found = std::ranges::find(links, bridge, &Link::name);
    const int master = found == links.end() ? -1 : found->index;
    std::vector<std::string> kept;
    for (const Link& link : links) {
        // One without an alias a crash has left unmarked.
        const bool ours =
            is_tunnel(link) &&
            (link.alias.starts_with(alias + "#") ||
             (link.alias.empty() && link.master == master && link.name.starts_with(bridge + "-")));
        if (!ours) continue;
        const auto wanted = std::ranges::find_if(tunnels, [&](const Tunnel& tunnel) {
            return link.name == link_name(bridge, tunnel) && link.master == master &&
                   link.alias == fmt::format("{}#{:016x}", alias, digest(description_of(tunnel, mtu)));
        });
        if (wanted == tunnels.end()) {
            LX_TRY(delete_link(link.name));
        } else {
            kept.push_back(link.name);
        }
    }
    if (master < 0) return {};
    for (const Tunnel& tunnel : tunnels) {
        const std::string name = link_name(bridge, tunnel);
        if (std::ranges::find(kept, name) != kept.end()) continue;
        LX_TRY(create_tunnel(socket, name, tunnel, mtu, master));
        failpoint("network.tunnel_created");
        LX_TRY(
            set_alias(socket, name, fmt::format("{}#{:016x}", alias, digest(description_of(tunnel, mtu)))));
    }
    return {};
}

}  // namespace lxmgr::network
