#include "network/firewall_policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "network/bridge_config.h"
#include "network/bridge_values.h"

namespace lxmgr::network {
namespace {

constexpr std::size_t kMaxItems = 512;

std::unexpected<Error> bad_field(std::string_view field, std::string_view value, std::string_view allowed) {
    return fail(Status::bad_request, fmt::format("Invalid {} '{}': must be {}", field, value, allowed));
}

std::optional<PortRange> parse_port_range(std::string_view text) {
    const auto ends = split(text, '-');
    if (ends.empty() || ends.size() > 2) return std::nullopt;
    PortRange out;
    for (std::size_t i = 0; i < ends.size(); ++i) {
        const auto number = parse_uint(ends[i]);
        if (!number || *number < 1 || *number > 65535 || ends[i].size() > 5) return std::nullopt;
        (i == 0 ? out.first : out.last) = static_cast<std::uint16_t>(*number);
    }
    if (ends.size() == 1) out.last = out.first;
    if (out.last < out.first) return std::nullopt;
    return out;
}

bool follows(std::uint32_t last, std::uint32_t first) {
    return last != ~std::uint32_t{0} && last + 1 == first;
}
bool follows(std::uint16_t last, std::uint16_t first) { return last != 0xffff && last + 1 == first; }
bool follows(Ipv6 last, const Ipv6& first) {
    for (std::size_t i = last.size(); i-- > 0;) {
        if (++last[i] != 0) return last == first;
    }
    return false;
}

/// nftables wants the ranges of a set apart from each other.
template <typename Range>
void join(std::vector<Range>& ranges) {
    std::ranges::sort(ranges, {}, &Range::first);
    std::vector<Range> out;
    for (const Range& range : ranges) {
        const bool touches =
            !out.empty() && (range.first <= out.back().last || follows(out.back().last, range.first));
        if (touches) {
            out.back().last = std::max(out.back().last, range.last);
        } else {
            out.push_back(range);
        }
    }
    ranges = std::move(out);
}

Ipv6 last_of(const Ipv6Net& net) {
    Ipv6 out = net.network();
    for (auto bit = static_cast<std::size_t>(net.prefix); bit < 128; ++bit)
        out[bit / 8] = static_cast<std::uint8_t>(out[bit / 8] | 0x80u >> (bit % 8));
    return out;
}

bool add_range(AddressRanges& out, std::string_view text) {
    const auto dash = text.find('-');
    const std::string_view first = text.substr(0, dash);
    const std::string_view last = dash == std::string_view::npos ? first : text.substr(dash + 1);
    if (const auto a = parse_ipv4(first), b = parse_ipv4(last); a && b && *a <= *b) {
        out.ipv4.push_back({*a, *b});
        return true;
    }
    if (const auto a = parse_ipv6(first), b = parse_ipv6(last); a && b && *a <= *b) {
        out.ipv6.push_back({*a, *b});
        return true;
    }
    return false;
}

bool add_subject(AddressRanges& out, std::string_view text) {
    if (const auto net = parse_ipv4_net(text)) {
        out.ipv4.push_back({net->network(), net->broadcast()});
        return true;
    }
    if (const auto net = parse_ipv6_net(text)) {
        out.ipv6.push_back({net->network(), last_of(*net)});
        return true;
    }
    return add_range(out, text);
}

Result<> set_subjects(AddressRanges& to, std::string_view field, const std::string& value) {
    if (value.empty()) return {};
    auto parsed = parse_address_ranges(value);
    if (!parsed) {
        return bad_field(
            field, value,
            "addresses, ranges A-B and subnets, with commas between (names of ACLs and @internal, "
            "@external are for OVN networks, which are not served)");
    }
    to = *std::move(parsed);
    return {};
}

Result<> set_ports(std::vector<PortRange>& to, std::string_view field, const std::string& value,
                   AclRule::Protocol protocol) {
    if (value.empty()) return {};
    if (protocol != AclRule::Protocol::tcp && protocol != AclRule::Protocol::udp)
        return fail(Status::bad_request, fmt::format("{} is for the protocols tcp and udp", field));
    auto parsed = parse_ports(value);
    if (!parsed) return bad_field(field, value, "ports and ranges such as 80,8000-8080");
    to = *std::move(parsed);
    return {};
}

Result<> set_icmp(std::optional<int>& to, std::string_view field, const std::string& value,
                  AclRule::Protocol protocol) {
    if (value.empty()) return {};
    if (protocol != AclRule::Protocol::icmp4 && protocol != AclRule::Protocol::icmp6)
        return fail(Status::bad_request, fmt::format("{} is for the protocols icmp4 and icmp6", field));
    const auto number = parse_uint(value);
    if (!number || *number > 255 || value.size() > 3)
        return bad_field(field, value, "a number from 0 to 255");
    to = static_cast<int>(*number);
    return {};
}

Result<AclRule::Protocol> parse_protocol(const std::string& word) {
    using Protocol = AclRule::Protocol;
    if (word.empty()) return Protocol::any;
    if (word == "tcp") return Protocol::tcp;
    if (word == "udp") return Protocol::udp;
    if (word == "icmp4") return Protocol::icmp4;
    if (word == "icmp6") return Protocol::icmp6;
    return bad_field("protocol", word, "tcp, udp, icmp4, icmp6 or empty");
}

Result<> check_families(const AclRule& rule) {
    const bool mixed = (!rule.source.ipv4.empty() && rule.source.ipv6.empty() &&
                        rule.destination.ipv4.empty() && !rule.destination.ipv6.empty()) ||
                       (!rule.source.ipv6.empty() && rule.source.ipv4.empty() &&
                        rule.destination.ipv6.empty() && !rule.destination.ipv4.empty());
    if (mixed) return fail(Status::bad_request, "source and destination have no address family in common");
    for (const AddressRanges* subjects : {&rule.source, &rule.destination}) {
        if (subjects->empty()) continue;
        if (rule.protocol == AclRule::Protocol::icmp4 && subjects->ipv4.empty())
            return fail(Status::bad_request, "icmp4 is for IPv4 addresses");
        if (rule.protocol == AclRule::Protocol::icmp6 && subjects->ipv6.empty())
            return fail(Status::bad_request, "icmp6 is for IPv6 addresses");
    }
    return {};
}

}  // namespace

std::optional<std::vector<PortRange>> parse_ports(std::string_view text) {
    if (has_control_chars(text)) return std::nullopt;
    std::vector<PortRange> out;
    for (const auto& item : split_list(text)) {
        const auto range = parse_port_range(item);
        if (!range || out.size() == kMaxItems) return std::nullopt;
        out.push_back(*range);
    }
    if (out.empty()) return std::nullopt;
    join(out);
    return out;
}

std::optional<AddressRanges> parse_address_ranges(std::string_view text) {
    if (has_control_chars(text)) return std::nullopt;
    AddressRanges out;
    for (const auto& item : split_list(text)) {
        if (!add_subject(out, item) || out.ipv4.size() + out.ipv6.size() > kMaxItems) return std::nullopt;
    }
    if (out.empty()) return std::nullopt;
    join(out.ipv4);
    join(out.ipv6);
    return out;
}

Result<AclRule::Action> parse_acl_action(std::string_view word) {
    if (word == "allow") return AclRule::Action::allow;
    if (word == "reject") return AclRule::Action::reject;
    if (word == "drop") return AclRule::Action::drop;
    return bad_field("action", word, "allow, reject or drop");
}

Result<> check_acl_name(std::string_view name) {
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    const auto allowed = [&](char c) {
        return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    };
    if (!name.empty() && name.size() <= 63 && is_letter(name.front()) && std::ranges::all_of(name, allowed))
        return {};
    return fail(
        Status::bad_request,
        fmt::format("Invalid network ACL name '{}': 1 to 63 letters, digits, '-', '_' and '.', the first "
                    "one a letter",
                    name));
}

Result<AclRule> parse_acl_rule(const api::NetworkAclRule& rule) {
    AclRule out;
    LX_TRY_AS(out.action, parse_acl_action(rule.action));
    if (rule.state != "enabled" && rule.state != "disabled" && rule.state != "logged")
        return bad_field("state", rule.state, "enabled, disabled or logged");
    out.logged = rule.state == "logged";
    LX_TRY_AS(out.protocol, parse_protocol(rule.protocol));
    if (has_control_chars(rule.description) || !is_utf8(rule.description))
        return fail(Status::bad_request, "description: control characters are not allowed");
    LX_TRY(set_subjects(out.source, "source", rule.source));
    LX_TRY(set_subjects(out.destination, "destination", rule.destination));
    LX_TRY(set_ports(out.source_ports, "source_port", rule.source_port, out.protocol));
    LX_TRY(set_ports(out.destination_ports, "destination_port", rule.destination_port, out.protocol));
    LX_TRY(set_icmp(out.icmp_type, "icmp_type", rule.icmp_type, out.protocol));
    LX_TRY(set_icmp(out.icmp_code, "icmp_code", rule.icmp_code, out.protocol));
    LX_TRY(check_families(out));
    return out;
}

Result<Acl> parse_acl(const api::NetworkAcl& acl) {
    LX_TRY(check_acl_name(acl.name));
    Acl out;
    out.name = acl.name;
    const auto read = [](const std::vector<api::NetworkAclRule>& from, const char* direction,
                         std::vector<AclRule>& to) -> Result<> {
        for (std::size_t i = 0; i < from.size(); ++i) {
            auto rule = parse_acl_rule(from[i]);
            if (!rule) {
                return std::unexpected(
                    in(fmt::format("Rule {} of {}", i + 1, direction), std::move(rule).error()));
            }
            if (from[i].state != "disabled") to.push_back(*std::move(rule));
        }
        return {};
    };
    LX_TRY(read(acl.ingress, "ingress", out.ingress));
    LX_TRY(read(acl.egress, "egress", out.egress));
    for (const auto& [key, value] : acl.config) {
        if (!key.starts_with("user.") || key.size() == 5)
            return fail(Status::bad_request, fmt::format("Network ACL config key '{}' is unknown", key));
    }
    return out;
}

}  // namespace lxmgr::network
