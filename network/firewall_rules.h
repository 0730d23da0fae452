#pragma once
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "network/bridge_config.h"
#include "network/firewall_policy.h"

/// What the rules of a bridge are, in the words of libnftables-json(5). Pure functions.
namespace lxmgr::network {

/// Where packets are looked at, nft(8): `priority` is that of "filter" and "srcnat".
struct Hook {
    const char* prefix;  ///< of the chain's name
    const char* type;
    const char* hook;
    int priority;
};
inline constexpr Hook kInput{"in", "filter", "input", 0};
inline constexpr Hook kForward{"fwd", "filter", "forward", 0};
/// ipv4.nat.order: before or after translations of others, which sit at "srcnat".
inline constexpr Hook kPostrouting{"pstrt", "nat", "postrouting", 99};
inline constexpr Hook kPostroutingAfter{"pstrta", "nat", "postrouting", 101};
inline constexpr Hook kPrerouting{"prert", "nat", "prerouting", -100};
inline constexpr Hook kOutputNat{"outnat", "nat", "output", -100};
/// Before conntrack: "raw".
inline constexpr Hook kGuard{"guard", "filter", "prerouting", -300};
inline constexpr Hook kOutput{"out", "filter", "output", 0};
/// Chains that only others jump to: without a type.
inline constexpr Hook kAclIngress{"aclin", nullptr, nullptr, 0};
inline constexpr Hook kAclEgress{"aclout", nullptr, nullptr, 0};
/// Those that jump come before those they jump to.
inline constexpr std::array kHooks{&kInput,     &kForward, &kPostrouting, &kPostroutingAfter, &kPrerouting,
                                   &kOutputNat, &kGuard,   &kOutput,      &kAclIngress,       &kAclEgress};

struct Rule {
    const Hook* hook = nullptr;
    nlohmann::json expressions;
};
std::vector<Rule> firewall_rules(const std::string& bridge, const BridgeConfig& config,
                                 const FirewallPolicy& policy);

}  // namespace lxmgr::network
