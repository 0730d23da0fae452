#include "network/bridge_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "network/bridge.h"
#include "network/dns_message.h"

namespace lxmgr::network {

std::unexpected<Error> bad_value(const Field& field, std::string_view allowed) {
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
        return bad_value(field, "true or false");
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
    if (!plain && field.value != "infinite")
        return bad_value(field, "a time such as 45m, 1h or 7d, or infinite");
    to = std::string(field.value);
    return {};
}

namespace {

/// Of one host, and of use beyond the host or the link: RFC 6890.
bool is_for_hosts(std::uint32_t address) {
    const std::uint32_t first = address >> 24;
    return first != 0 && first != 127 && first < 224 && address >> 16 != 0xa9fe;
}
bool is_for_hosts(const Ipv6& address) {
    const bool is_link_local = address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
    const bool is_mapped_or_unset =
        std::all_of(address.begin(), address.begin() + 8, [](auto byte) { return byte == 0; });
    return address[0] != 0xff && !is_link_local && !is_mapped_or_unset;
}

}  // namespace

/// "auto" is gone by now, complete_bridge_config() has put an address in its place.
Result<> set_ipv4_address(BridgeConfig& config, const Field& field) {
    if (field.value == "none") return {};
    const auto net = parse_ipv4_net(field.value);
    if (!net || net->prefix < 8 || net->prefix > 30)
        return bad_value(field, "none, auto, or an address such as 10.1.2.1/24 (/8 to /30)");
    if (net->address == net->network() || net->address == net->broadcast()) {
        return bad_value(field, "the bridge's own address, not that of the network");
    }
    if (!is_for_hosts(net->address))
        return bad_value(field, "an address for hosts, not of the loopback, a link or a group");
    config.ipv4.address = net;
    return {};
}

Result<> set_ipv6_address(BridgeConfig& config, const Field& field) {
    if (field.value == "none") return {};
    const auto net = parse_ipv6_net(field.value);
    if (!net || net->prefix < 64 || net->prefix > 120 || net->address == net->network()) {
        return bad_value(field, "none, auto, or the bridge's address such as fd42:1:2:3::1/64 (/64 to /120)");
    }
    if (!is_for_hosts(net->address))
        return bad_value(field, "an address for hosts, not of the loopback, a link or a group");
    config.ipv6.address = net;
    return {};
}

Result<> set_search(std::vector<std::string>& to, const Field& field) {
    to = split_list(field.value);
    if (!std::ranges::all_of(to, is_domain)) return bad_value(field, "domain names separated by commas");
    return {};
}

Result<> set_domain(std::string& to, const Field& field) {
    if (!is_domain(field.value)) return bad_value(field, "a domain name such as lxd or example.net");
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
        return bad_value(field, "managed, dynamic or none");
    }
    return {};
}

Result<> set_hwaddr(Mac& to, const Field& field) {
    const auto mac = parse_mac(field.value);
    if (!mac || ((*mac)[0] & 1) != 0 || *mac == Mac{})
        return bad_value(field, "a unicast MAC address such as 00:16:3e:01:02:03");
    to = *mac;
    return {};
}

Result<> set_mtu(BridgeConfig& config, const Field& field) {
    const auto mtu = parse_uint(field.value);
    // RFC 8200: a link that carries IPv6 has 1280 at least; 65535 is the kernel's ETH_MAX_MTU.
    if (!mtu || *mtu < 1280 || *mtu > 65535) return bad_value(field, "a number from 1280 to 65535");
    config.mtu = static_cast<std::uint32_t>(*mtu);
    config.mtu_given = true;
    return {};
}

Result<> set_gateway(BridgeConfig& config, const Field& field) {
    config.ipv4_dhcp_gateway = parse_ipv4(field.value);
    if (!config.ipv4_dhcp_gateway) return bad_value(field, "an IPv4 address");
    return {};
}

/// The kernel's names; what a VLAN of one would be called is refused: this kernel need not have them.
Result<> set_interfaces(BridgeConfig& config, const Field& field) {
    for (const auto& name : split_list(field.value)) {
        if (!check_interface_name(name))
            return bad_value(field, "names of interfaces of the host, separated by commas");
        config.external_interfaces.push_back(name);
    }
    return {};
}

Result<> set_nameservers(BridgeConfig& config, const Field& field) {
    for (const auto& item : split_list(field.value)) {
        const auto v4 = parse_ipv4(item);
        const auto v6 = parse_ipv6(item);
        if (!v4 && !v6) return bad_value(field, "IP addresses separated by commas");
        if (v4) config.ipv4_nameservers.push_back(format_ipv4(*v4));
        if (v6) config.ipv6_nameservers.push_back(format_ipv6(*v6));
    }
    return {};
}

Result<> set_dhcp_routes(BridgeConfig& config, const Field& field) {
    constexpr std::string_view kExample = "pairs of a subnet and a gateway, such as 10.2.0.0/16,10.1.2.3";
    const auto parts = split_list(field.value);
    if (parts.size() % 2 != 0) return bad_value(field, kExample);
    for (std::size_t i = 0; i < parts.size(); i += 2) {
        const auto net = parse_ipv4_net(parts[i]);
        const auto gateway = parse_ipv4(parts[i + 1]);
        if (!net || !gateway) return bad_value(field, kExample);
        config.dhcp_routes.emplace_back(Ipv4Net{net->network(), net->prefix}, *gateway);
    }
    return {};
}

Result<> check_zones(const Field& field) {
    for (const auto& name : split_list(field.value)) {
        if (!dns::check_name(name)) return bad_value(field, "names of network zones, separated by commas");
    }
    return {};
}

Result<> set_acls(std::vector<std::string>& to, const Field& field) {
    for (const auto& name : split_list(field.value)) {
        if (!check_acl_name(name)) return bad_value(field, "names of network ACLs, separated by commas");
        if (std::ranges::find(to, name) == to.end()) to.push_back(name);
    }
    return {};
}

Result<> set_action(AclRule::Action& to, const Field& field) {
    const auto action = parse_acl_action(field.value);
    if (!action) return bad_value(field, "allow, reject or drop");
    to = *action;
    return {};
}

Result<> set_nat_order(bool& after, const Field& field) {
    if (field.value != "before" && field.value != "after") return bad_value(field, "before or after");
    after = field.value == "after";
    return {};
}

}  // namespace lxmgr::network
