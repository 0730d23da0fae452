#include "network/firewall.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "network/digest.h"
#include "network/firewall_rules.h"
#include "network/nftables.h"

namespace lxmgr::network {
namespace {

using Json = nlohmann::json;

constexpr const char* kTable = "lxmgr";

std::string chain_name(const Hook& hook, const std::string& bridge) {
    return fmt::format("{}.{}", hook.prefix, bridge);
}

Json chain_identity(const Hook& hook, const std::string& bridge) {
    return {{"family", "inet"}, {"table", kTable}, {"name", chain_name(hook, bridge)}};
}

/// The commands of one transaction.
class Transaction {
public:
    void add(const char* verb, Json object) { commands_.push_back(Json{{verb, std::move(object)}}); }
    [[nodiscard]] Result<> run(const std::string& doing) const {
        auto done = run_nftables(Json{{"nftables", commands_}}.dump());
        if (!done) return std::unexpected(in(doing, std::move(done).error()));
        return {};
    }

private:
    Json commands_ = Json::array();
};

/// Adding what exists is no change: so the chains are there for what follows, and gone after it.
Transaction without_chains(const std::string& bridge) {
    Transaction out;
    out.add("add", {{"table", {{"family", "inet"}, {"name", kTable}}}});
    for (const Hook* hook : kHooks) {
        for (const char* verb : {"add", "flush", "delete"}) {
            out.add(verb, {{"chain", chain_identity(*hook, bridge)}});
        }
    }
    return out;
}

/// What the kernel holds in our table, entry by entry; empty when there is no table.
Json held_entries() {
    const Json list{{"list", {{"table", {{"family", "inet"}, {"name", kTable}}}}}};
    const auto output = run_nftables(Json{{"nftables", Json::array({list})}}.dump());
    Json answer = output ? Json::parse(*output, nullptr, false) : Json();
    if (!answer.is_object() || !answer.contains("nftables") || !answer["nftables"].is_array())
        return Json::array();
    return std::move(answer["nftables"]);
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

/// Chains of one bridge and the removal of the empty table must not interleave.
std::mutex& table_mutex() {
    static std::mutex mutex;
    return mutex;
}

}  // namespace

Result<> apply_firewall(const std::string& bridge, const BridgeConfig& config) {
    const std::lock_guard lock(table_mutex());
    const std::vector<Rule> rules = firewall_rules(bridge, config);
    std::string all;
    for (const Rule& rule : rules) all += fmt::format("{} {}\n", rule.hook->prefix, rule.expressions.dump());
    const std::string comment = fmt::format("{} {:016x}", bridge, digest(all));

    Transaction transaction = without_chains(bridge);
    Comments wanted;
    for (const Hook* hook : kHooks) {
        wanted[chain_name(*hook, bridge)];
        Json chain = chain_identity(*hook, bridge);
        chain.update(
            {{"type", hook->type}, {"hook", hook->hook}, {"prio", hook->priority}, {"policy", "accept"}});
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
    const bool same = std::ranges::all_of(wanted, [&held](const auto& chain) {
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
    if (!held_comments(held_entries()).empty()) return {};
    Transaction last;
    last.add("delete", {{"table", {{"family", "inet"}, {"name", kTable}}}});
    return last.run("Removing the firewall table");
}

}  // namespace lxmgr::network
