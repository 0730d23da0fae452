#include "network/bridge_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::network {
namespace {

struct Field {
    std::string_view key;
    std::string_view value;
};

std::unexpected<Error> bad(const Field& field, std::string_view allowed) {
    return fail(Status::bad_request, fmt::format("Invalid value '{}' of network key '{}': must be {}",
                                                 field.value, field.key, allowed));
}

std::vector<std::string> split_list(std::string_view text) {
    std::vector<std::string> out;
    for (const auto& part : split(text, ',')) out.emplace_back(trim(part));
    return out;
}

Result<> set_bool(bool& to, const Field& field) {
    static constexpr std::array<std::string_view, 4> kTrue{"true", "1", "yes", "on"};
    static constexpr std::array<std::string_view, 4> kFalse{"false", "0", "no", "off"};
    const std::string word = to_lower(field.value);
    if (std::ranges::find(kTrue, word) != kTrue.end()) {
        to = true;
    } else if (std::ranges::find(kFalse, word) != kFalse.end()) {
        to = false;
    } else {
        return bad(field, "true or false");
    }
    return {};
}

bool is_domain(std::string_view text) {
    if (text.empty() || text.size() > 253) return false;
    const auto is_label = [](const std::string& label) {
        const auto allowed = [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        };
        return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
               std::ranges::all_of(label, allowed);
    };
    return std::ranges::all_of(split(text, '.'), is_label);
}

Result<> set_expiry(std::string& to, const Field& field) {
    std::string_view number = field.value;
    if (!number.empty() && std::string_view("smhdw").contains(number.back())) number.remove_suffix(1);
    const auto value = parse_uint(number);
    const bool plain = value && *value > 0 && *value <= 1'000'000'000 && number.size() <= 10;
    if (!plain && field.value != "infinite") return bad(field, "a time such as 45m, 1h or 7d, or infinite");
    to = std::string(field.value);
    return {};
}

/// "auto" is gone by now, complete_bridge_config() has put an address in its place.
Result<> set_ipv4_address(BridgeConfig& config, const Field& field) {
    if (field.value == "none") return {};
    const auto net = parse_ipv4_net(field.value);
    if (!net || net->prefix < 8 || net->prefix > 30)
        return bad(field, "none, auto, or an address such as 10.1.2.1/24 (/8 to /30)");
    if (net->address == net->network() || net->address == net->broadcast()) {
        return bad(field, "the bridge's own address, not that of the network");
    }
    config.ipv4.address = net;
    return {};
}

Result<> set_ipv6_address(BridgeConfig& config, const Field& field) {
    if (field.value == "none") return {};
    const auto net = parse_ipv6_net(field.value);
    if (!net || net->prefix < 64 || net->prefix > 120 || net->address == net->network()) {
        return bad(field, "none, auto, or the bridge's address such as fd42:1:2:3::1/64 (/64 to /120)");
    }
    config.ipv6.address = net;
    return {};
}

template <typename Range, typename Parse>
Result<> set_ranges(std::vector<Range>& to, const Field& field, Parse parse, std::string_view example) {
    for (const auto& item : split_list(field.value)) {
        const auto ends = split(item, '-');
        if (ends.size() != 2) return bad(field, example);
        const auto first = parse(trim(ends[0]));
        const auto last = parse(trim(ends[1]));
        if (!first || !last || *last < *first) return bad(field, example);
        to.push_back({*first, *last});
    }
    return {};
}

Result<> set_search(std::vector<std::string>& to, const Field& field) {
    to = split_list(field.value);
    if (!std::ranges::all_of(to, is_domain)) return bad(field, "domain names separated by commas");
    return {};
}

Result<> set_domain(std::string& to, const Field& field) {
    if (!is_domain(field.value)) return bad(field, "a domain name such as lxd or example.net");
    to = to_lower(field.value);
    return {};
}

Result<> set_dns_mode(DnsMode& to, const Field& field) {
    if (field.value == "managed") {
        to = DnsMode::managed;
    } else if (field.value == "dynamic") {
        to = DnsMode::dynamic;
    } else if (field.value == "none") {
        to = DnsMode::none;
    } else {
        return bad(field, "managed, dynamic or none");
    }
    return {};
}

Result<> set_hwaddr(Mac& to, const Field& field) {
    const auto mac = parse_mac(field.value);
    if (!mac || ((*mac)[0] & 1) != 0 || *mac == Mac{})
        return bad(field, "a unicast MAC address such as 00:16:3e:01:02:03");
    to = *mac;
    return {};
}

Result<> set_mtu(std::uint32_t& to, const Field& field) {
    const auto mtu = parse_uint(field.value);
    // RFC 8200: a link that carries IPv6 has 1280 at least; 65535 is the kernel's ETH_MAX_MTU.
    if (!mtu || *mtu < 1280 || *mtu > 65535) return bad(field, "a number from 1280 to 65535");
    to = static_cast<std::uint32_t>(*mtu);
    return {};
}

Result<> set_gateway(BridgeConfig& config, const Field& field) {
    config.ipv4_dhcp_gateway = parse_ipv4(field.value);
    if (!config.ipv4_dhcp_gateway) return bad(field, "an IPv4 address");
    return {};
}

Result<> only(const Field& field, std::string_view word) {
    if (field.value == word) return {};
    return bad(field, fmt::format("{} (nothing else is served)", word));
}

struct Key {
    std::string_view name;
    Result<> (*set)(BridgeConfig& config, const Field& field);
};
constexpr Key kKeys[] = {
    {"bridge.driver", [](BridgeConfig&, const Field& f) { return only(f, "native"); }},
    {"bridge.hwaddr", [](BridgeConfig& c, const Field& f) { return set_hwaddr(c.hwaddr, f); }},
    {"bridge.mode", [](BridgeConfig&, const Field& f) { return only(f, "standard"); }},
    {"bridge.mtu", [](BridgeConfig& c, const Field& f) { return set_mtu(c.mtu, f); }},
    {"dns.domain", [](BridgeConfig& c, const Field& f) { return set_domain(c.domain, f); }},
    {"dns.mode", [](BridgeConfig& c, const Field& f) { return set_dns_mode(c.dns_mode, f); }},
    {"dns.search", [](BridgeConfig& c, const Field& f) { return set_search(c.search, f); }},
    {"ipv4.address", set_ipv4_address},
    {"ipv4.dhcp", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv4.dhcp, f); }},
    {"ipv4.dhcp.expiry", [](BridgeConfig& c, const Field& f) { return set_expiry(c.ipv4.dhcp_expiry, f); }},
    {"ipv4.dhcp.gateway", set_gateway},
    {"ipv4.dhcp.ranges",
     [](BridgeConfig& c, const Field& f) {
         return set_ranges(c.ipv4.ranges, f, parse_ipv4,
                           "ranges such as 10.1.2.100-10.1.2.200, separated by commas");
     }},
    {"ipv4.firewall", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv4.firewall, f); }},
    {"ipv4.nat", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv4.nat, f); }},
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
    {"ipv6.routing", [](BridgeConfig& c, const Field& f) { return set_bool(c.ipv6.routing, f); }},
    // Read before bridge.hwaddr would be: set by complete_bridge_config() when the user gave none.
    {"volatile.bridge.hwaddr",
     [](BridgeConfig& c, const Field& f) {
         return c.hwaddr == Mac{} ? set_hwaddr(c.hwaddr, f) : Result<>{};
     }},
};

Result<> set_key(BridgeConfig& config, const Field& field) {
    if (has_control_chars(field.value) || !is_utf8(field.value)) {
        return fail(Status::bad_request,
                    fmt::format("Network key '{}': control characters are not allowed", field.key));
    }
    if (field.key.starts_with("user.") && field.key.size() > 5) return {};
    const auto* row = std::ranges::find(kKeys, field.key, &Key::name);
    if (row != std::end(kKeys)) return field.value.empty() ? Result<>{} : row->set(config, field);
    if (field.key == "raw.dnsmasq") {
        return fail(Status::bad_request,
                    "Network key 'raw.dnsmasq' is not supported: dnsmasq takes no unchecked options here");
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

Result<BridgeConfig> parse_bridge_config(const std::string& name, const api::ConfigMap& config) {
    BridgeConfig out;
    for (const auto& [key, value] : config) {
        auto set = set_key(out, {key, value});
        if (!set) return std::unexpected(in(fmt::format("Network '{}'", name), std::move(set).error()));
    }
    for (auto* check : {check_ipv4, check_ipv6}) {
        auto checked = check(out);
        if (!checked)
            return std::unexpected(in(fmt::format("Network '{}'", name), std::move(checked).error()));
    }
    return out;
}

}  // namespace lxmgr::network
