#include "network/nic_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "network/links.h"
#include "network/nft_table.h"

namespace lxmgr::network {
namespace {

using Json = nlohmann::json;

constexpr const char* kFamily = "netdev";
constexpr const char* kPrefix = "nic.";
/// What a limited sender may send at once: some packets that the guest's kernel joined (64 KiB each).
constexpr std::uint64_t kMinPolicedBytes = 256 << 10;
constexpr std::uint64_t kPolicedBurstsPerSecond = 20;

/// Names of interfaces whose chains this daemon has made or taken over. Hold table_mutex().
std::set<std::string>& nics_with_rules() {
    static std::set<std::string> names;
    return names;
}
/// Until the sweep. Hold table_mutex().
std::set<std::string>& expected_without() {
    static std::set<std::string> names;
    return names;
}

Json identity(const std::string& chain) { return {{"family", kFamily}, {"table", kTable}, {"name", chain}}; }
void add_table(Transaction& transaction) {
    transaction.add("add", {{"table", {{"family", kFamily}, {"name", kTable}}}});
}
/// Adding what exists is no change: so it is there for what follows, and gone after it.
void remove_chain(Transaction& transaction, const std::string& chain) {
    for (const char* verb : {"add", "flush", "delete"}) transaction.add(verb, {{"chain", identity(chain)}});
}

Json match(Json left, const char* op, Json right) {
    return {{"match", {{"op", op}, {"left", std::move(left)}, {"right", std::move(right)}}}};
}
Json payload(const char* protocol, const char* field) {
    return {{"payload", {{"protocol", protocol}, {"field", field}}}};
}
Json meta(const char* key) { return {{"meta", {{"key", key}}}}; }
Json set_of(Json values) { return {{"set", std::move(values)}}; }
Json prefix_of(const std::string& network, int length) {
    return {{"prefix", {{"addr", network}, {"len", length}}}};
}
Json drop() { return {{"drop", nullptr}}; }

/// The address that a neighbour advertisement is about, RFC 4861 4.4: 8 bytes into ICMPv6.
Json advertised() { return {{"payload", {{"base", "th"}, {"offset", 64}, {"len", 128}}}}; }

std::string hex(const Ipv6& address) {
    std::string out = "0x";
    for (const auto byte : address) out += fmt::format("{:02x}", byte);
    return out;
}

class NicRuleList {
public:
    void only_mac(const std::string& hwaddr) {
        add({match(payload("ether", "saddr"), "!=", hwaddr), drop()});
        add({match(payload("arp", "saddr ether"), "!=", hwaddr), drop()});
    }
    /// Nothing in which an address could hide, such as VLAN tags.
    void only_ip() { add({match(meta("protocol"), "!=", set_of({"arp", "ip", "ip6"})), drop()}); }
    /// One without an address yet asks for one, or whether one is free. None of either: no IPv4 at all.
    void only_ipv4(const std::vector<std::uint32_t>& addresses, const std::vector<Ipv4Net>& nets) {
        if (addresses.empty() && nets.empty())
            return add({match(meta("protocol"), "==", set_of({"arp", "ip"})), drop()});
        Json allowed = Json::array({"0.0.0.0"});
        for (const Ipv4Net& net : nets) allowed.push_back(prefix_of(format_ipv4(net.network()), net.prefix));
        for (const auto address : addresses) allowed.push_back(format_ipv4(address));
        for (const Json& from : {payload("arp", "saddr ip"), payload("ip", "saddr")})
            add({match(from, "!=", set_of(allowed)), drop()});
        const Json no_address = match(payload("ip", "saddr"), "==", "0.0.0.0");
        add({no_address, match(payload("ip", "protocol"), "!=", "udp"), drop()});
        add({no_address, match(payload("udp", "dport"), "!=", 67), drop()});
    }
    void only_ipv6(const std::vector<Ipv6>& addresses, const std::vector<Ipv6Net>& nets) {
        if (addresses.empty() && nets.empty()) return add({match(meta("protocol"), "==", "ip6"), drop()});
        Json allowed = Json::array({"::"});
        for (const Ipv6Net& net : nets) allowed.push_back(prefix_of(format_ipv6(net.network()), net.prefix));
        Json targets = Json::array();
        for (const auto& address : addresses) {
            allowed.push_back(format_ipv6(address));
            targets.push_back(hex(address));
        }
        add({match(payload("ip6", "saddr"), "!=", set_of(std::move(allowed))), drop()});
        add({match(payload("ip6", "saddr"), "==", "::"), match(meta("l4proto"), "!=", "ipv6-icmp"), drop()});
        const Json type = payload("icmpv6", "type");
        add({match(type, "==", "nd-router-advert"), drop()});
        add({match(type, "==", "nd-neighbor-advert"), match(advertised(), "!=", set_of(std::move(targets))),
             drop()});
    }
    void set_priority(std::uint32_t priority) {
        const auto value = fmt::format("{:x}:{:x}", priority >> 16, priority & 0xffff);
        add({Json{{"mangle", {{"key", meta("priority")}, {"value", value}}}}});
    }
    void limit(std::uint64_t bits_per_second) {
        const std::uint64_t rate = std::max<std::uint64_t>(bits_per_second / 8, 1);
        const std::uint64_t burst =
            std::clamp<std::uint64_t>(rate / kPolicedBurstsPerSecond, kMinPolicedBytes, 1U << 31);
        const Json over{{"rate", rate},   {"rate_unit", "bytes"},  {"per", "second"},
                        {"burst", burst}, {"burst_unit", "bytes"}, {"inv", true}};
        add({Json{{"limit", over}}, drop()});
    }
    std::vector<Json> take() { return std::move(rules_); }

private:
    void add(Json expressions) { rules_.push_back(std::move(expressions)); }
    std::vector<Json> rules_;
};

std::vector<Json> expressions_of(const NicRules& rules) {
    NicRuleList list;
    if (!rules.hwaddr.empty()) list.only_mac(rules.hwaddr);
    if (rules.ipv4 || rules.ipv6) list.only_ip();
    if (rules.ipv4) list.only_ipv4(*rules.ipv4, rules.ipv4_nets);
    if (rules.ipv6) list.only_ipv6(*rules.ipv6, rules.ipv6_nets);
    if (rules.priority) list.set_priority(*rules.priority);
    if (rules.bits_per_second != 0) list.limit(rules.bits_per_second);
    return list.take();
}

Result<> remove_locked(const std::set<std::string>& host_names) {
    Transaction transaction;
    add_table(transaction);
    for (const auto& name : host_names) remove_chain(transaction, kPrefix + name);
    LX_TRY(transaction.run("Removing a NIC's rules"));
    for (const auto& name : host_names) nics_with_rules().erase(name);
    return remove_table_if_empty(kFamily);
}

}  // namespace

Result<> apply_nic_rules(const NicRules& rules) {
    if (rules.empty()) return remove_nic_rules(rules.host_name);
    const std::lock_guard lock(table_mutex());
    const std::string name = kPrefix + rules.host_name;
    Transaction transaction;
    add_table(transaction);
    remove_chain(transaction, name);
    Json chain = identity(name);
    chain.update({{"type", "filter"},
                  {"hook", "ingress"},
                  {"prio", 0},
                  {"dev", rules.host_name},
                  {"policy", "accept"}});
    transaction.add("add", {{"chain", std::move(chain)}});
    for (auto& expressions : expressions_of(rules)) {
        Json rule{{"family", kFamily}, {"table", kTable}, {"chain", name}};
        rule["expr"] = std::move(expressions);
        transaction.add("add", {{"rule", std::move(rule)}});
    }
    LX_TRY(transaction.run(fmt::format("Rules of interface '{}'", rules.host_name)));
    nics_with_rules().insert(rules.host_name);
    return {};
}

Result<> remove_nic_rules(const std::string& host_name) {
    const std::lock_guard lock(table_mutex());
    return nics_with_rules().contains(host_name) ? remove_locked({host_name}) : Result<>{};
}

void expect_no_nic_rules(const std::string& host_name) {
    const std::lock_guard lock(table_mutex());
    expected_without().insert(host_name);
}

bool nic_rules_lost() {
    const std::lock_guard lock(table_mutex());
    if (nics_with_rules().empty()) return false;
    std::set<std::string> held;
    for (const Json& entry : held_entries(kFamily)) {
        if (const auto rule = entry.find("rule"); rule != entry.end()) held.insert(rule->value("chain", ""));
    }
    return std::ranges::any_of(nics_with_rules(),
                               [&held](const std::string& name) { return !held.contains(kPrefix + name); });
}

Result<> sweep_nic_rules() {
    const std::lock_guard lock(table_mutex());
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    const auto without = std::exchange(expected_without(), {});
    std::set<std::string> unwanted;
    for (const Json& entry : held_entries(kFamily)) {
        const auto chain = entry.find("chain");
        const std::string name = chain == entry.end() ? "" : chain->value("name", "");
        if (!name.starts_with(kPrefix)) continue;
        const std::string host_name = name.substr(std::string_view(kPrefix).size());
        if (nics_with_rules().contains(host_name)) continue;
        LX_TRY_AS(const auto link, find_link(socket, host_name));
        (link && !without.contains(host_name) ? nics_with_rules() : unwanted).insert(host_name);
    }
    return unwanted.empty() ? Result<>{} : remove_locked(unwanted);
}

}  // namespace lxmgr::network
