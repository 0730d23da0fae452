#pragma once
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "network/bridge_config.h"

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
inline constexpr Hook kPostrouting{"pstrt", "nat", "postrouting", 100};
inline constexpr std::array kHooks{&kInput, &kForward, &kPostrouting};

struct Rule {
    const Hook* hook = nullptr;
    nlohmann::json expressions;
};
std::vector<Rule> firewall_rules(const std::string& bridge, const BridgeConfig& config);

}  // namespace lxmgr::network
