#include "network/proxy_nat.h"

#include <fmt/format.h>

#include <algorithm>

#include "network/digest.h"
#include "network/nft_table.h"

namespace lxmgr::network {
namespace {

using Json = nlohmann::json;

/// nft(8): "dstnat" is -100, "srcnat" 100.
struct NatHook {
    const char* prefix;
    const char* hook;
    int priority;
};
constexpr NatHook kPrerouting{"prert", "prerouting", -100};
constexpr NatHook kOutput{"out", "output", -100};
constexpr NatHook kPostrouting{"pstrt", "postrouting", 100};

/// Names of chains are shorter than those of instance and device may be together.
std::string chain_name(const NatHook& hook, const std::string& owner) {
    return fmt::format("{}.proxy.{:016x}", hook.prefix, digest(owner));
}

Json match(Json left, Json right) {
    return {{"match", {{"op", "=="}, {"left", std::move(left)}, {"right", std::move(right)}}}};
}
Json payload(const std::string& protocol, const char* field) {
    return {{"payload", {{"protocol", protocol}, {"field", field}}}};
}

void add_rule(Transaction& transaction, const NatHook& hook, const ProxyNat& nat, Json expressions) {
    transaction.add("add", {{"rule",
                             {{"family", "inet"},
                              {"table", kTable},
                              {"chain", chain_name(hook, nat.owner)},
                              {"comment", nat.owner},
                              {"expr", std::move(expressions)}}}});
}

}  // namespace

Result<> apply_proxy_nat(const ProxyNat& nat) {
    const std::lock_guard lock(table_mutex());
    Transaction transaction;
    transaction.add_table();
    for (const NatHook& hook : {kPrerouting, kOutput, kPostrouting}) {
        const std::string name = chain_name(hook, nat.owner);
        transaction.remove_chain(name);
        Json chain = chain_identity(name);
        chain.update({{"type", "nat"}, {"hook", hook.hook}, {"prio", hook.priority}, {"policy", "accept"}});
        transaction.add("add", {{"chain", std::move(chain)}});
    }
    const char* header = nat.ipv6 ? "ip6" : "ip";
    for (const auto& [from, to] : nat.ports) {
        const Json translate{{"dnat", {{"family", header}, {"addr", nat.connect}, {"port", to}}}};
        for (const NatHook& hook : {kPrerouting, kOutput}) {
            add_rule(transaction, hook, nat,
                     {match(payload(header, "daddr"), nat.listen),
                      match(payload(nat.protocol, "dport"), from), translate});
        }
        add_rule(transaction, kPostrouting, nat,
                 {match(payload(header, "saddr"), nat.connect), match(payload(header, "daddr"), nat.connect),
                  match(payload(nat.protocol, "dport"), to), Json{{"masquerade", nullptr}}});
    }
    return transaction.run(fmt::format("Address translation of '{}'", nat.owner));
}

Result<> remove_proxy_nat(const std::string& owner) {
    const std::lock_guard lock(table_mutex());
    const Json entries = held_entries();
    const std::string known = chain_name(kPrerouting, owner);
    const bool held = std::ranges::any_of(entries, [&known](const Json& entry) {
        const auto chain = entry.find("chain");
        return chain != entry.end() && chain->value("name", "") == known;
    });
    if (!held) return {};
    Transaction transaction;
    transaction.add_table();
    for (const NatHook& hook : {kPrerouting, kOutput, kPostrouting})
        transaction.remove_chain(chain_name(hook, owner));
    LX_TRY(transaction.run(fmt::format("Address translation of '{}'", owner)));
    return remove_table_if_empty();
}

}  // namespace lxmgr::network
