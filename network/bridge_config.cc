#include "network/bridge_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "network/bridge_values.h"
#include "network/raw_dnsmasq.h"

namespace lxmgr::network {
namespace {

Result<> only(const Field& field, std::string_view word) {
    if (field.value == word) return {};
    return bad_value(field, fmt::format("{} (nothing else is served)", word));
}

/// What fits into packets of 1500 bytes in a tunnel, as LXD has it.
constexpr std::uint32_t kTunnelMtu = 1400;

struct Key {
    std::string_view name;
    Result<> (*set)(BridgeConfig& config, const Field& field);
};
constexpr Key kKeys[] = {
    {"bridge.driver", [](BridgeConfig&, const Field& f) { return only(f, "native"); }},
    {"bridge.external_interfaces", set_interfaces},
    {"bridge.hwaddr", [](BridgeConfig& c, const Field& f) { return set_hwaddr(c.hwaddr, f); }},
    {"bridge.mode", [](BridgeConfig&, const Field& f) { return only(f, "standard"); }},
    {"bridge.mtu", set_mtu},
    {"bridge.multicast_snooping",
     [](BridgeConfig& c, const Field& f) { return set_bool(c.multicast_snooping, f); }},
    {"dns.domain", [](BridgeConfig& c, const Field& f) { return set_domain(c.domain, f); }},
    {"dns.mode", [](BridgeConfig& c, const Field& f) { return set_dns_mode(c.dns_mode, f); }},
    {"dns.nameservers", set_nameservers},
    {"dns.search", [](BridgeConfig& c, const Field& f) { return set_search(c.search, f); }},
    {"dns.zone.forward", [](BridgeConfig&, const Field& f) { return check_zones(f); }},
    {"dns.zone.reverse.ipv4", [](BridgeConfig&, const Field& f) { return check_zones(f); }},
    {"dns.zone.reverse.ipv6", [](BridgeConfig&, const Field& f) { return check_zones(f); }},
    {"ipv4.address", set_ipv4_address},
    {"ipv4.dhcp", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv4.dhcp, f); }},
    {"ipv4.dhcp.expiry", [](BridgeConfig& c, const Field& f) { return set_expiry(c.ipv4.dhcp_expiry, f); }},
    {"ipv4.dhcp.gateway", set_gateway},
    {"ipv4.dhcp.ranges",
     [](BridgeConfig& c, const Field& f) {
         return set_ranges(c.ipv4.ranges, f, parse_ipv4,
                           "ranges such as 10.1.2.100-10.1.2.200, separated by commas");
     }},
    {"ipv4.dhcp.routes", set_dhcp_routes},
    {"ipv4.firewall", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv4.firewall, f); }},
    {"ipv4.nat", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv4.nat, f); }},
    {"ipv4.nat.address",
     [](BridgeConfig& c, const Field& f) {
         return set_parsed(c.ipv4.nat_address, f, parse_ipv4, "an IPv4 address of the host");
     }},
    {"ipv4.nat.order", [](BridgeConfig& c, const Field& f) { return set_nat_order(c.ipv4.nat_after, f); }},
    {"ipv4.routes",
     [](BridgeConfig& c, const Field& f) {
         return set_nets(c.ipv4.routes, f, parse_ipv4_net,
                         "subnets such as 10.3.0.0/16, separated by commas");
     }},
    {"ipv4.routing", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv4.routing, f); }},
    {"ipv6.address", set_ipv6_address},
    {"ipv6.dhcp", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv6.dhcp, f); }},
    {"ipv6.dhcp.expiry", [](BridgeConfig& c, const Field& f) { return set_expiry(c.ipv6.dhcp_expiry, f); }},
    {"ipv6.dhcp.ranges",
     [](BridgeConfig& c, const Field& f) {
         return set_ranges(c.ipv6.ranges, f, parse_ipv6,
                           "ranges such as fd42::100-fd42::200, separated by commas");
     }},
    {"ipv6.dhcp.stateful", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv6_stateful, f); }},
    {"ipv6.firewall", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv6.firewall, f); }},
    {"ipv6.nat", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv6.nat, f); }},
    {"ipv6.nat.address",
     [](BridgeConfig& c, const Field& f) {
         return set_parsed(c.ipv6.nat_address, f, parse_ipv6, "an IPv6 address of the host");
     }},
    {"ipv6.nat.order", [](BridgeConfig& c, const Field& f) { return set_nat_order(c.ipv6.nat_after, f); }},
    {"ipv6.ra", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv6_ra, f); }},
    {"ipv6.routes",
     [](BridgeConfig& c, const Field& f) {
         return set_nets(c.ipv6.routes, f, parse_ipv6_net, "subnets such as fd43::/64, separated by commas");
     }},
    {"ipv6.routing", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv6.routing, f); }},
    {"raw.dnsmasq",
     [](BridgeConfig& c, const Field& f) -> Result<> {
         LX_TRY_AS(c.raw_dnsmasq, parse_raw_dnsmasq(f.value));
         return {};
     }},
    {"security.acls", [](BridgeConfig& c, const Field& f) { return set_acls(c.acls, f); }},
    {"security.acls.default.egress.action",
     [](BridgeConfig& c, const Field& f) { return set_action(c.acl_egress.action, f); }},
    {"security.acls.default.egress.logged",
     [](BridgeConfig& c, const Field& f) { return set_bool(c.acl_egress.logged, f); }},
    {"security.acls.default.ingress.action",
     [](BridgeConfig& c, const Field& f) { return set_action(c.acl_ingress.action, f); }},
    {"security.acls.default.ingress.logged",
     [](BridgeConfig& c, const Field& f) { return set_bool(c.acl_ingress.logged, f); }},
    // Read before bridge.hwaddr would be: set by complete_bridge_config() when the user gave none.
    {"volatile.bridge.hwaddr",
     [](BridgeConfig& c, const Field& f) {
         return c.hwaddr == Mac{} ? set_hwaddr(c.hwaddr, f) : Result<>{};
     }},
};

/// Keys of LXD and Incus that are told apart from typing mistakes.
struct ForeignKey {
    std::string_view prefix;
    std::string_view why;
};
constexpr ForeignKey kForeign[] = {
    {"bgp.", "BGP is not served"},
    {"fan.", "the Ubuntu fan is not served"},
    {"ipv4.ovn.", "OVN networks are not served"},
    {"ipv6.ovn.", "OVN networks are not served"},
};

Result<> set_key(BridgeConfig& config, const Field& field) {
    const bool many_lines = field.key == "raw.dnsmasq";  // its own reader looks at every line
    if ((!many_lines && has_control_chars(field.value)) || !is_utf8(field.value)) {
        return fail(Status::bad_request,
                    fmt::format("Network key '{}': control characters are not allowed", field.key));
    }
    if (field.key.starts_with("user.") && field.key.size() > 5) return {};
    const auto* row = std::ranges::find(kKeys, field.key, &Key::name);
    if (row != std::end(kKeys)) return field.value.empty() ? Result<>{} : row->set(config, field);
    if (constexpr std::string_view kTunnel = "tunnel."; field.key.starts_with(kTunnel)) {
        if (field.value.empty()) return {};
        auto set = set_tunnel_key(config.tunnels, field.key.substr(kTunnel.size()), field.value);
        if (set) return {};
        return fail(Status::bad_request, fmt::format("Network key '{}' with value '{}' {}", field.key,
                                                     field.value, set.error().message));
    }
    for (const ForeignKey& foreign : kForeign) {
        if (!field.key.starts_with(foreign.prefix)) continue;
        return fail(Status::bad_request,
                    fmt::format("Network key '{}' is not supported: {}", field.key, foreign.why));
    }
    return fail(Status::bad_request,
                fmt::format("Network key '{}' is unknown or not supported for bridges", field.key));
}

Result<> check_ipv4(const BridgeConfig& config) {
    if (!config.ipv4.address) return {};
    const Ipv4Net& net = *config.ipv4.address;
    for (const Ipv4Range& range : config.ipv4.ranges) {
        if (!net.contains(range.first) || !net.contains(range.last)) {
            return fail(Status::bad_request,
                        fmt::format("Network key 'ipv4.dhcp.ranges': {}-{} is not inside ipv4.address {}",
                                    format_ipv4(range.first), format_ipv4(range.last), format(net)));
        }
    }
    if (config.ipv4_dhcp_gateway && !net.contains(*config.ipv4_dhcp_gateway)) {
        return fail(Status::bad_request,
                    fmt::format("Network key 'ipv4.dhcp.gateway': {} is not inside ipv4.address {}",
                                format_ipv4(*config.ipv4_dhcp_gateway), format(net)));
    }
    return {};
}

Result<> check_ipv6(const BridgeConfig& config) {
    if (!config.ipv6.address) return {};
    const Ipv6Net& net = *config.ipv6.address;
    // RFC 4862: addresses are autoconfigured from 64-bit prefixes only.
    if (net.prefix != 64 && !(config.ipv6_stateful && config.ipv6.dhcp)) {
        return fail(
            Status::bad_request,
            fmt::format("Network key 'ipv6.address': {} must be a /64 unless ipv6.dhcp.stateful is true",
                        format(net)));
    }
    for (const Ipv6Range& range : config.ipv6.ranges) {
        if (!net.contains(range.first) || !net.contains(range.last)) {
            return fail(Status::bad_request,
                        fmt::format("Network key 'ipv6.dhcp.ranges': {}-{} is not inside ipv6.address {}",
                                    format_ipv6(range.first), format_ipv6(range.last), format(net)));
        }
    }
    return {};
}

}  // namespace

std::vector<Ipv4Range> BridgeConfig::ipv4_pool() const {
    if (!ipv4.address) return {};
    if (!ipv4.ranges.empty()) return ipv4.ranges;
    const Ipv4Range all{ipv4.address->network() + 1, ipv4.address->broadcast() - 1};
    // The gateway at either end is left out of the range; in the middle it is skipped address by address.
    if (all.first == ipv4.address->address) return {{all.first + 1, all.last}};
    if (all.last == ipv4.address->address) return {{all.first, all.last - 1}};
    return {all};
}

std::vector<Ipv6Range> BridgeConfig::ipv6_pool() const {
    if (!ipv6.address) return {};
    if (!ipv6.ranges.empty()) return ipv6.ranges;
    Ipv6Range all{ipv6.address->network(), ipv6.address->network()};
    all.first[15] = static_cast<std::uint8_t>(all.first[15] | 2);
    for (auto bit = static_cast<std::size_t>(ipv6.address->prefix); bit < 128; ++bit) {
        all.last[bit / 8] = static_cast<std::uint8_t>(all.last[bit / 8] | 0x80u >> (bit % 8));
    }
    return {all};
}

Result<BridgeConfig> parse_bridge_config(const std::string& name, const api::ConfigMap& config) {
    BridgeConfig out;
    for (const auto& [key, value] : config) {
        auto set = set_key(out, {key, value});
        if (!set) return std::unexpected(in(fmt::format("Network '{}'", name), std::move(set).error()));
    }
    if (!out.tunnels.empty() && !out.mtu_given) out.mtu = kTunnelMtu;
    auto checked = check_ipv4(out);
    if (checked) checked = check_ipv6(out);
    if (checked) checked = check_tunnels(name, out.tunnels);
    if (!checked) return std::unexpected(in(fmt::format("Network '{}'", name), std::move(checked).error()));
    return out;
}

}  // namespace lxmgr::network
