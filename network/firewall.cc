#include "network/firewall.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "network/digest.h"
#include "network/firewall_rules.h"
#include "network/nft_table.h"

namespace lxmgr::network {
namespace {

using Json = nlohmann::json;

std::string chain_name(const Hook& hook, const std::string& bridge) {
    return fmt::format("{}.{}", hook.prefix, bridge);
}

Transaction without_chains(const std::string& bridge) {
    Transaction out;
    out.add_table();
    for (const Hook* hook : kHooks) out.remove_chain(chain_name(*hook, bridge));
    return out;
}

/// Comments of the rules by chain; a chain without rules has an empty list.
using Comments = std::map<std::string, std::vector<std::string>>;

Comments held_comments(const Json& entries) {
    Comments out;
    for (const Json& entry : entries) {
        if (const auto chain = entry.find("chain"); chain != entry.end()) out[chain->value("name", "")];
        if (const auto rule = entry.find("rule"); rule != entry.end()) {
            out[rule->value("chain", "")].push_back(rule->value("comment", ""));
        }
    }
    return out;
}

/// The first three are there with every bridge.
bool is_needed(const Hook& hook, const std::vector<Rule>& rules) {
    if (&hook == &kInput || &hook == &kForward || &hook == &kPostrouting) return true;
    return std::ranges::any_of(rules, [&hook](const Rule& rule) { return rule.hook == &hook; });
}

}  // namespace

Result<> apply_firewall(const std::string& bridge, const BridgeConfig& config, const FirewallPolicy& policy) {
    const std::lock_guard lock(table_mutex());
    const std::vector<Rule> rules = firewall_rules(bridge, config, policy);
    std::string all;
    for (const Rule& rule : rules) all += fmt::format("{} {}\n", rule.hook->prefix, rule.expressions.dump());
    const std::string comment = fmt::format("{} {:016x}", bridge, digest(all));

    Transaction transaction = without_chains(bridge);
    Comments wanted;
    for (const Hook* hook : kHooks) {
        if (!is_needed(*hook, rules)) continue;
        wanted[chain_name(*hook, bridge)];
        Json chain = chain_identity(chain_name(*hook, bridge));
        if (hook->type != nullptr) {
            chain.update(
                {{"type", hook->type}, {"hook", hook->hook}, {"prio", hook->priority}, {"policy", "accept"}});
        }
        transaction.add("add", {{"chain", std::move(chain)}});
    }
    for (const Rule& rule : rules) {
        const std::string chain = chain_name(*rule.hook, bridge);
        wanted[chain].push_back(comment);
        transaction.add("add", {{"rule",
                                 {{"family", "inet"},
                                  {"table", kTable},
                                  {"chain", chain},
                                  {"comment", comment},
                                  {"expr", rule.expressions}}}});
    }
    const Comments held = held_comments(held_entries());
    const bool surplus = std::ranges::any_of(kHooks, [&](const Hook* hook) {
        return held.contains(chain_name(*hook, bridge)) && !wanted.contains(chain_name(*hook, bridge));
    });
    const bool same = !surplus && std::ranges::all_of(wanted, [&held](const auto& chain) {
        const auto found = held.find(chain.first);
        return found != held.end() && found->second == chain.second;
    });
    if (same) return {};
    return transaction.run(fmt::format("Firewall of network '{}'", bridge));
}

Result<> remove_firewall(const std::string& bridge) {
    const std::lock_guard lock(table_mutex());
    const Json before = held_entries();
    if (before.empty()) return {};
    const Comments chains = held_comments(before);
    const auto is_held = [&](const Hook* hook) { return chains.contains(chain_name(*hook, bridge)); };
    if (std::ranges::any_of(kHooks, is_held)) {
        LX_TRY(without_chains(bridge).run(fmt::format("Firewall of network '{}'", bridge)));
    }
    return remove_table_if_empty();
}

}  // namespace lxmgr::network
