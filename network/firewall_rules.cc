#include "network/firewall_rules.h"

#include <string_view>

namespace lxmgr::network {
namespace {

using Json = nlohmann::json;

Json match(Json left, Json right, const char* op = "==") {
    return {{"match", {{"op", op}, {"left", std::move(left)}, {"right", std::move(right)}}}};
}
Json meta(const char* key) { return {{"meta", {{"key", key}}}}; }
Json payload(const char* protocol, const char* field) {
    return {{"payload", {{"protocol", protocol}, {"field", field}}}};
}
Json set_of(Json values) { return {{"set", std::move(values)}}; }
Json prefix_of(const std::string& network, int length) {
    return {{"prefix", {{"addr", network}, {"len", length}}}};
}
Json verdict(const char* word) { return {{word, nullptr}}; }

/// What differs between the families in the rules.
struct Family {
    const char* nfproto;  ///< of meta nfproto
    const char* header;   ///< of payload expressions
    std::string address;  ///< the bridge's own
    std::string network;
    int prefix;
    int dhcp_port;
};
Family family_of(const Ipv4Net& net) {
    return {"ipv4", "ip", format_ipv4(net.address), format_ipv4(net.network()), net.prefix, 67};
}
Family family_of(const Ipv6Net& net) {
    return {"ipv6", "ip6", format_ipv6(net.address), format_ipv6(net.network()), net.prefix, 547};
}

class RuleList {
public:
    explicit RuleList(const std::string& bridge) : bridge_(bridge) {}

    template <typename FamilyConfig>
    void add_family(const FamilyConfig& config) {
        if (!config.address) return;
        const Family family = family_of(*config.address);
        if (config.nat) add_nat(family);
        if (config.firewall) add_input(family, config.dhcp);
        if (config.firewall || !config.routing) add_forward(family, config.routing);
    }
    std::vector<Rule> take() { return std::move(rules_); }

private:
    void add(const Hook& hook, Json expressions) { rules_.push_back({&hook, std::move(expressions)}); }

    void add_nat(const Family& family) {
        const Json subnet = prefix_of(family.network, family.prefix);
        add(kPostrouting, {match(payload(family.header, "saddr"), subnet),
                           match(payload(family.header, "daddr"), subnet, "!="), verdict("masquerade")});
    }
    /// DNS and DHCP from the bridge come in. DNS to the bridge's address from anywhere else does not: Linux
    /// answers on every interface for every address it has, and dnsmasq would resolve for strangers.
    void add_input(const Family& family, bool dhcp) {
        const Json from_bridge = match(meta("iifname"), bridge_);
        const Json is_family = match(meta("nfproto"), family.nfproto);
        for (const char* protocol : {"udp", "tcp"}) {
            const Json is_dns = match(payload(protocol, "dport"), 53);
            add(kInput, {from_bridge, is_family, is_dns, verdict("accept")});
            add(kInput, {match(meta("iifname"), set_of({"lo", bridge_}), "!="),
                         match(payload(family.header, "daddr"), family.address), is_dns, verdict("drop")});
        }
        if (!dhcp) return;
        const Json is_dhcp = match(payload("udp", "dport"), family.dhcp_port);
        add(kInput, {from_bridge, is_family, is_dhcp, verdict("accept")});
    }
    void add_forward(const Family& family, bool routing) {
        const Json is_family = match(meta("nfproto"), family.nfproto);
        const char* word = routing ? "accept" : "reject";
        for (const char* direction : {"iifname", "oifname"}) {
            add(kForward, {match(meta(direction), bridge_), is_family, verdict(word)});
        }
    }

    const std::string& bridge_;
    std::vector<Rule> rules_;
};

}  // namespace

std::vector<Rule> firewall_rules(const std::string& bridge, const BridgeConfig& config) {
    RuleList list(bridge);
    list.add_family(config.ipv4);
    list.add_family(config.ipv6);
    return list.take();
}

}  // namespace lxmgr::network
