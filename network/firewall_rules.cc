#include "network/firewall_rules.h"

#include <string_view>

#include "network/acl_rules.h"
#include "network/nft_json.h"

namespace lxmgr::network {
namespace {

using nft::Json;
using nft::match;
using nft::meta;
using nft::payload;
using nft::prefix_of;
using nft::set_of;
using nft::verdict;

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

std::string address_text(std::uint32_t address) { return format_ipv4(address); }
std::string address_text(const Ipv6& address) { return format_ipv6(address); }

class BridgeRuleList {
public:
    explicit BridgeRuleList(const std::string& bridge) : bridge_(bridge) {}

    template <typename FamilyConfig>
    void add_family(const FamilyConfig& config) {
        if (!config.address) return;
        const Family family = family_of(*config.address);
        if (config.nat) add_nat(family, config.nat_after, config.nat_address);
        if (config.firewall) add_input(family, config.dhcp);
    }
    template <typename FamilyConfig>
    void add_forwarding(const FamilyConfig& config) {
        if (!config.address || (!config.firewall && config.routing)) return;
        add_forward(family_of(*config.address), config.routing);
    }
    /// Nothing of the host's own 127.0.0.0/8 comes through the bridge, even where route_loopback() was
    /// called.
    void add_guard() {
        for (const char* field : {"saddr", "daddr"}) {
            rules_.push_back({&kGuard,
                              {match(meta("iifname"), bridge_),
                               match(payload("ip", field), prefix_of("127.0.0.0", 8)), verdict("drop")}});
        }
    }
    std::vector<Rule>& rules() { return rules_; }
    std::vector<Rule> take() { return std::move(rules_); }

private:
    void add(const Hook& hook, Json expressions) { rules_.push_back({&hook, std::move(expressions)}); }

    template <typename Address>
    void add_nat(const Family& family, bool after, const std::optional<Address>& address) {
        const Json subnet = prefix_of(family.network, family.prefix);
        Json translate = verdict("masquerade");
        if (address) translate = {{"snat", {{"family", family.header}, {"addr", address_text(*address)}}}};
        add(after ? kPostroutingAfter : kPostrouting,
            {match(payload(family.header, "saddr"), subnet),
             match(payload(family.header, "daddr"), subnet, "!="), std::move(translate)});
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

std::vector<Rule> firewall_rules(const std::string& bridge, const BridgeConfig& config,
                                 const FirewallPolicy& policy) {
    BridgeRuleList list(bridge);
    add_forward_rules(list.rules(), config, policy);
    list.add_family(config.ipv4);
    list.add_family(config.ipv6);
    if (config.ipv4.address) list.add_guard();
    add_acl_jumps(list.rules(), bridge, policy);
    list.add_forwarding(config.ipv4);
    list.add_forwarding(config.ipv6);
    add_acl_rules(list.rules(), bridge, policy);
    return list.take();
}

}  // namespace lxmgr::network
