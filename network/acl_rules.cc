#include "network/acl_rules.h"

#include <fmt/format.h>

#include "network/nft_json.h"

namespace lxmgr::network {
namespace {

using nft::Json;
using nft::match;
using nft::meta;
using nft::payload;
using nft::verdict;

Json text_of(std::uint32_t address) { return format_ipv4(address); }
Json text_of(const Ipv6& address) { return format_ipv6(address); }
Json text_of(std::uint16_t port) { return port; }

template <typename Range>
Json set_of_ranges(const std::vector<Range>& ranges) {
    Json values = Json::array();
    for (const Range& range : ranges) {
        values.push_back(range.first == range.last
                             ? text_of(range.first)
                             : nft::range_of(text_of(range.first), text_of(range.last)));
    }
    return nft::set_of(std::move(values));
}

const char* word_of(AclRule::Action action) {
    switch (action) {
        case AclRule::Action::drop:
            return "drop";
        case AclRule::Action::reject:
            return "reject";
        case AclRule::Action::allow:
            return "return";
    }
    return "drop";
}

/// Bounded: what a guest sends must not fill the log of the host.
std::vector<Json> log_steps(const std::string& prefix) {
    const Json limit{{"rate", 10}, {"per", "second"}, {"burst", 20}};
    return {Json{{"limit", limit}}, Json{{"log", {{"prefix", prefix}}}}};
}
std::string log_prefix(std::string_view acl, const char* direction, AclRule::Action action) {
    const char* word = action == AclRule::Action::allow ? "allow" : word_of(action);
    return fmt::format("lxmgr-acl={} {} {} ", acl, direction, word);
}

void add_protocol(Json& steps, const AclRule& rule) {
    using Protocol = AclRule::Protocol;
    const bool is_tcp = rule.protocol == Protocol::tcp;
    if (rule.protocol == Protocol::any) return;
    if (is_tcp || rule.protocol == Protocol::udp) {
        const char* name = is_tcp ? "tcp" : "udp";
        if (rule.source_ports.empty() && rule.destination_ports.empty())
            steps.push_back(match(meta("l4proto"), name));
        if (!rule.source_ports.empty())
            steps.push_back(match(payload(name, "sport"), set_of_ranges(rule.source_ports)));
        if (!rule.destination_ports.empty())
            steps.push_back(match(payload(name, "dport"), set_of_ranges(rule.destination_ports)));
        return;
    }
    const bool is_v4 = rule.protocol == Protocol::icmp4;
    steps.push_back(match(meta("nfproto"), is_v4 ? "ipv4" : "ipv6"));
    steps.push_back(match(meta("l4proto"), is_v4 ? "icmp" : "ipv6-icmp"));
    const char* header = is_v4 ? "icmp" : "icmpv6";
    if (rule.icmp_type) steps.push_back(match(payload(header, "type"), *rule.icmp_type));
    if (rule.icmp_code) steps.push_back(match(payload(header, "code"), *rule.icmp_code));
}

template <typename Ranges>
void add_addresses(Json& steps, const char* header, const Ranges& source, const Ranges& destination) {
    if (!source.empty()) steps.push_back(match(payload(header, "saddr"), set_of_ranges(source)));
    if (!destination.empty()) steps.push_back(match(payload(header, "daddr"), set_of_ranges(destination)));
}

/// What must match: one list of steps for each family that the rule is about.
std::vector<Json> matches_of(const AclRule& rule) {
    std::vector<Json> out;
    if (rule.source.empty() && rule.destination.empty()) {
        Json steps = Json::array();
        add_protocol(steps, rule);
        return {std::move(steps)};
    }
    const auto is_about = [](const auto& ranges, const AddressRanges& all) {
        return all.empty() || !ranges.empty();
    };
    if (rule.protocol != AclRule::Protocol::icmp6 && is_about(rule.source.ipv4, rule.source) &&
        is_about(rule.destination.ipv4, rule.destination)) {
        Json steps = Json::array();
        add_addresses(steps, "ip", rule.source.ipv4, rule.destination.ipv4);
        add_protocol(steps, rule);
        out.push_back(std::move(steps));
    }
    if (rule.protocol != AclRule::Protocol::icmp4 && is_about(rule.source.ipv6, rule.source) &&
        is_about(rule.destination.ipv6, rule.destination)) {
        Json steps = Json::array();
        add_addresses(steps, "ip6", rule.source.ipv6, rule.destination.ipv6);
        add_protocol(steps, rule);
        out.push_back(std::move(steps));
    }
    return out;
}

struct Direction {
    const Hook& chain;
    const char* name;
    std::vector<AclRule> Acl::* rules;
    AclDefault FirewallPolicy::* fallback;
};
const Direction kDirections[] = {{kAclIngress, "ingress", &Acl::ingress, &FirewallPolicy::ingress},
                                 {kAclEgress, "egress", &Acl::egress, &FirewallPolicy::egress}};

void add_with_log(std::vector<Rule>& rules, const Hook& chain, Json steps, AclRule::Action action,
                  const std::string& logged_as) {
    if (!logged_as.empty()) {
        Json logging = steps;
        for (Json& step : log_steps(logged_as)) logging.push_back(std::move(step));
        rules.push_back({&chain, std::move(logging)});
    }
    steps.push_back(verdict(word_of(action)));
    rules.push_back({&chain, std::move(steps)});
}

}  // namespace

void add_acl_rules(std::vector<Rule>& rules, const std::string&, const FirewallPolicy& policy) {
    using Action = AclRule::Action;
    if (policy.acls.empty()) return;
    for (const Direction& direction : kDirections) {
        for (const Action action : {Action::drop, Action::reject, Action::allow}) {
            for (const Acl& acl : policy.acls) {
                for (const AclRule& rule : acl.*direction.rules) {
                    if (rule.action != action) continue;
                    for (const Json& steps : matches_of(rule)) {
                        add_with_log(rules, direction.chain, steps, action,
                                     rule.logged ? log_prefix(acl.name, direction.name, action) : "");
                    }
                }
            }
        }
        const AclDefault& fallback = policy.*direction.fallback;
        add_with_log(rules, direction.chain, Json::array(), fallback.action,
                     fallback.logged ? log_prefix("default", direction.name, fallback.action) : "");
    }
}

void add_acl_jumps(std::vector<Rule>& rules, const std::string& bridge, const FirewallPolicy& policy) {
    if (policy.acls.empty()) return;
    const Json from = match(meta("iifname"), bridge);
    const Json to = match(meta("oifname"), bridge);
    const Json known = nft::ct_state(Json::array({"established", "related"}));
    const auto accept = verdict("accept");
    // DHCP, DNS and the discovery of neighbours and routers are between instances and the host's own end.
    const Json discovery = match(payload("icmpv6", "type"), nft::set_of({133, 134, 135, 136, 143}));
    rules.push_back({&kInput, {from, known, accept}});
    rules.push_back({&kInput, {from, match(payload("udp", "dport"), nft::set_of({53, 67, 547})), accept}});
    rules.push_back({&kInput, {from, match(payload("tcp", "dport"), 53), accept}});
    rules.push_back({&kInput, {from, discovery, accept}});
    rules.push_back({&kInput, {from, nft::jump_to("aclout." + bridge)}});
    rules.push_back({&kOutput, {to, known, accept}});
    rules.push_back({&kOutput, {to, match(payload("udp", "sport"), nft::set_of({53, 67, 547})), accept}});
    rules.push_back({&kOutput, {to, discovery, accept}});
    rules.push_back({&kOutput, {to, nft::jump_to("aclin." + bridge)}});
    rules.push_back({&kForward, {from, known, accept}});
    rules.push_back({&kForward, {to, known, accept}});
    rules.push_back({&kForward, {from, nft::jump_to("aclout." + bridge)}});
    rules.push_back({&kForward, {to, nft::jump_to("aclin." + bridge)}});
}

namespace {

Json translation(const char* header, const Json& address, const PortRange* listen, const PortRange* target) {
    Json to{{"family", header}, {"addr", address}};
    const bool other_port = target != nullptr && !(*listen == *target);
    if (other_port) to["port"] = target->first;
    return {{"dnat", std::move(to)}};
}

/// A range of ports to another one of the same length is a rule for each port.
std::vector<std::pair<PortRange, PortRange>> single_translations(
    const std::pair<PortRange, PortRange>& pair) {
    const auto& [listen, target] = pair;
    if (listen == target || target.first == target.last) return {pair};
    std::vector<std::pair<PortRange, PortRange>> out;
    for (int i = 0; i <= listen.last - listen.first; ++i) {
        const auto from = static_cast<std::uint16_t>(listen.first + i);
        const auto to = static_cast<std::uint16_t>(target.first + i);
        out.emplace_back(PortRange{from, from}, PortRange{to, to});
    }
    return out;
}

class ForwardRules {
public:
    ForwardRules(std::vector<Rule>& rules, const BridgeConfig& config) : rules_(rules), config_(config) {}

    void add(const Forward& forward) {
        header_ = forward.ipv6 ? "ip6" : "ip";
        const Json listen = forward.ipv6 ? text_of(forward.listen_ipv6) : text_of(forward.listen_ipv4);
        const Json to_us = match(payload(header_, "daddr"), listen);
        for (const ForwardPorts& ports : forward.ports) {
            const char* protocol = ports.udp ? "udp" : "tcp";
            const Json target = forward.ipv6 ? text_of(ports.target_ipv6) : text_of(ports.target_ipv4);
            for (const auto& pair : ports.ports) {
                for (const auto& [from, to] : single_translations(pair)) {
                    const Json port = match(payload(protocol, "dport"), set_of_ranges(std::vector{from}));
                    translate({to_us, port, translation(header_, target, &from, &to)});
                }
            }
            masquerade(forward.ipv6, target);
        }
        if (forward.target_ipv4) add_default(forward, to_us, text_of(*forward.target_ipv4));
        if (forward.target_ipv6) add_default(forward, to_us, text_of(*forward.target_ipv6));
    }

private:
    void translate(const Json& steps) {
        rules_.push_back({&kPrerouting, steps});
        rules_.push_back({&kOutputNat, steps});
    }
    void add_default(const Forward& forward, const Json& to_us, const Json& target) {
        translate({to_us, translation(header_, target, nullptr, nullptr)});
        masquerade(forward.ipv6, target);
    }
    /// A neighbour on the bridge would get the answer from another address than it had asked.
    void masquerade(bool ipv6, const Json& target) {
        const Json subnet =
            ipv6 ? nft::prefix_of(format_ipv6(config_.ipv6.address->network()), config_.ipv6.address->prefix)
                 : nft::prefix_of(format_ipv4(config_.ipv4.address->network()), config_.ipv4.address->prefix);
        rules_.push_back({&kPostrouting,
                          {match(payload(header_, "saddr"), subnet), match(payload(header_, "daddr"), target),
                           match(Json{{"ct", {{"key", "status"}}}}, "dnat", "in"), verdict("masquerade")}});
    }

    std::vector<Rule>& rules_;
    const BridgeConfig& config_;
    const char* header_ = "ip";
};

}  // namespace

void add_forward_rules(std::vector<Rule>& rules, const BridgeConfig& config, const FirewallPolicy& policy) {
    ForwardRules list(rules, config);
    for (const Forward& forward : policy.forwards) list.add(forward);
}

}  // namespace lxmgr::network
