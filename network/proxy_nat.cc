#include "network/proxy_nat.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "lxd-daemon/api/project_keys.h"
#include "network/digest.h"
#include "network/nft_json.h"
#include "network/nft_table.h"
#include "network/ports_in_use.h"
#include "network/sysctls.h"

namespace lxmgr::network {
namespace {

using nft::Json;
using nft::match;
using nft::meta;
using nft::payload;
using nft::verdict;

/// nft(8): "dstnat" is -100, "srcnat" 100. Before the forwards of networks, which sit there.
struct NatHook {
    const char* prefix;
    const char* hook;
    int priority;
};
constexpr NatHook kPrerouting{"prert", "prerouting", -100};
constexpr NatHook kOutput{"out", "output", -100};
constexpr NatHook kPostrouting{"pstrt", "postrouting", 98};  ///< before the bridges' own

/// Names of chains are shorter than those of instance and device may be together.
std::string nat_chain_name(const NatHook& hook, const std::string& owner) {
    return fmt::format("{}.proxy.{:016x}", hook.prefix, digest(owner));
}

/// Says whose it is and all that it does: the same rules are not made twice. nft's comments have 128 bytes.
std::string comment_of(const ProxyNat& nat) {
    std::string all = nat.protocol;
    for (const auto& side : nat.sides)
        all += fmt::format(" {} {} {} {} {}", side.ipv6, side.listen, side.connect, side.subnet, side.prefix);
    for (const auto& [from, to] : nat.ports) all += fmt::format(" {}:{}", from, to);
    return fmt::format("{:016x} {:.100}", digest(all), nat.owner);
}

/// Chains that have a rule of this comment.
std::set<std::string> chains_with(const Json& entries, const std::string& comment) {
    std::set<std::string> out;
    for (const Json& entry : entries) {
        const auto rule = entry.find("rule");
        if (rule != entry.end() && rule->value("comment", "") == comment)
            out.insert(rule->value("chain", ""));
    }
    return out;
}

/// What is in force, by owner. Hold table_mutex().
std::map<std::string, ProxyNat>& nats_in_force() {
    static std::map<std::string, ProxyNat> owners;
    return owners;
}

bool share_address(const ProxyNat& a, const ProxyNat& b) {
    for (const auto& x : a.sides) {
        for (const auto& y : b.sides) {
            const bool same = x.listen == y.listen || x.listen.empty() || y.listen.empty();
            if (x.ipv6 == y.ipv6 && same) return true;
        }
    }
    return false;
}

/// Owners are INSTANCE/DEVICE.
std::string holder_of(const std::string& owner, const std::string& asker) {
    const auto instance = [](const std::string& whose) { return whose.substr(0, whose.find('/')); };
    const auto [project, name] = api::split_instance_key(instance(asker));
    if (!api::is_of_project(instance(owner), project)) return "an instance of another project";
    return fmt::format("'{}'", owner);
}

/// Whether the translation would lead away what the program gets now.
bool takes_from(const HostListener& listener, const ProxyNat::Side& side) {
    if (side.listen.empty()) return !listener.is_loopback();
    if (!listener.address.empty()) return listener.address == side.listen;
    return (listener.ipv6 || !side.ipv6) && is_address_of_host(side.listen);
}

Result<> check_ports(const ProxyNat& nat) {
    for (const auto& [owner, other] : nats_in_force()) {
        if (owner == nat.owner || other.protocol != nat.protocol || !share_address(nat, other)) continue;
        for (const auto& [port, to] : nat.ports) {
            if (std::ranges::find(other.ports, port, &std::pair<int, int>::first) == other.ports.end())
                continue;
            return fail(Status::conflict, fmt::format("Port {} ({}) is published already, for {}", port,
                                                      nat.protocol, holder_of(owner, nat.owner)));
        }
    }
    const auto listeners = host_listeners(nat.protocol == "udp");
    for (const auto& side : nat.sides) {
        for (const auto& [port, to] : nat.ports) {
            const auto in_the_way = [&](const HostListener& listener) {
                return listener.port == port && takes_from(listener, side);
            };
            if (std::ranges::any_of(listeners, in_the_way))
                return fail(
                    Status::conflict,
                    fmt::format("A program of the host listens at port {} ({}) already", port, nat.protocol));
        }
    }
    return {};
}

/// To which packets a translation applies.
Json to_listener(const ProxyNat::Side& side, const NatHook& hook) {
    const char* header = side.ipv6 ? "ip6" : "ip";
    if (!side.listen.empty()) return Json::array({match(payload(header, "daddr"), side.listen)});
    Json out =
        Json::array({match(meta("nfproto"), side.ipv6 ? "ipv6" : "ipv4"),
                     match(Json{{"fib", {{"result", "type"}, {"flags", Json::array({"daddr"})}}}}, "local")});
    // The kernel lets no packet from ::1 leave the host, whatever it is translated to.
    if (side.ipv6 && std::string_view(hook.prefix) == "out")
        out.push_back(match(payload("ip6", "daddr"), "::1", "!="));
    return out;
}

void add_rule(Transaction& transaction, const NatHook& hook, const ProxyNat& nat, Json expressions) {
    transaction.add("add", {{"rule",
                             {{"family", "inet"},
                              {"table", kTable},
                              {"chain", nat_chain_name(hook, nat.owner)},
                              {"comment", comment_of(nat)},
                              {"expr", std::move(expressions)}}}});
}

}  // namespace

namespace {

void add_side(Transaction& transaction, const ProxyNat& nat, const ProxyNat::Side& side) {
    const char* header = side.ipv6 ? "ip6" : "ip";
    const char* loopback = side.ipv6 ? "::1" : "127.0.0.0";
    const Json target = match(payload(header, "daddr"), side.connect);
    for (const auto& [from, to] : nat.ports) {
        const Json translate{{"dnat", {{"family", header}, {"addr", side.connect}, {"port", to}}}};
        for (const NatHook& hook : {kPrerouting, kOutput}) {
            Json steps = to_listener(side, hook);
            steps.push_back(match(payload(nat.protocol.c_str(), "dport"), from));
            steps.push_back(translate);
            add_rule(transaction, hook, nat, std::move(steps));
        }
        const Json port = match(payload(nat.protocol.c_str(), "dport"), to);
        const Json translated = match(Json{{"ct", {{"key", "status"}}}}, "dnat", "in");
        for (const auto& [from_net, length] : {std::pair<std::string, int>{side.subnet, side.prefix},
                                               std::pair<std::string, int>{loopback, side.ipv6 ? 128 : 8}}) {
            if (from_net.empty()) continue;
            add_rule(transaction, kPostrouting, nat,
                     {match(payload(header, "saddr"), nft::prefix_of(from_net, length)), target, port,
                      translated, verdict("masquerade")});
        }
    }
}

}  // namespace

Result<> apply_proxy_nat(const ProxyNat& nat) {
    const std::lock_guard lock(table_mutex());
    LX_TRY(check_ports(nat));
    for (const auto& side : nat.sides) {
        if (!side.ipv6 && side.listen.empty() && !side.bridge.empty()) LX_TRY(route_loopback(side.bridge));
    }
    const auto held = chains_with(held_entries(), comment_of(nat));
    nats_in_force()[nat.owner] = nat;
    const auto is_held = [&](const NatHook& hook) { return held.contains(nat_chain_name(hook, nat.owner)); };
    if (is_held(kPrerouting) && is_held(kOutput) && is_held(kPostrouting)) return {};
    Transaction transaction;
    transaction.add_table();
    for (const NatHook& hook : {kPrerouting, kOutput, kPostrouting}) {
        const std::string name = nat_chain_name(hook, nat.owner);
        transaction.remove_chain(name);
        Json chain = chain_identity(name);
        chain.update({{"type", "nat"}, {"hook", hook.hook}, {"prio", hook.priority}, {"policy", "accept"}});
        transaction.add("add", {{"chain", std::move(chain)}});
    }
    for (const auto& side : nat.sides) add_side(transaction, nat, side);
    return transaction.run(fmt::format("Address translation of '{}'", nat.owner));
}

bool proxy_nat_lost() {
    const std::lock_guard lock(table_mutex());
    if (nats_in_force().empty()) return false;
    std::set<std::string> held;
    for (const Json& entry : held_entries()) {
        if (const auto rule = entry.find("rule"); rule != entry.end()) held.insert(rule->value("chain", ""));
    }
    return std::ranges::any_of(nats_in_force(), [&held](const auto& one) {
        return !held.contains(nat_chain_name(kPrerouting, one.first));
    });
}

Result<> remove_proxy_nat(const std::string& owner) {
    const std::lock_guard lock(table_mutex());
    nats_in_force().erase(owner);
    const Json entries = held_entries();
    const std::string known = nat_chain_name(kPrerouting, owner);
    const bool held = std::ranges::any_of(entries, [&known](const Json& entry) {
        const auto chain = entry.find("chain");
        return chain != entry.end() && chain->value("name", "") == known;
    });
    if (!held) return {};
    Transaction transaction;
    transaction.add_table();
    for (const NatHook& hook : {kPrerouting, kOutput, kPostrouting})
        transaction.remove_chain(nat_chain_name(hook, owner));
    LX_TRY(transaction.run(fmt::format("Address translation of '{}'", owner)));
    return remove_table_if_empty();
}

}  // namespace lxmgr::network
