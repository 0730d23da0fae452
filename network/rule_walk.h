#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

/// What rules of other programs (Docker, ufw, firewalld) do with packets of a bridge: their chains are walked
/// with a packet that is only thought of. Pure functions over what `nft -j list ruleset` says.
namespace lxmgr::network {

/// Empty: anything.
struct ThoughtPacket {
    std::string hook;  ///< "forward" or "input"
    std::string iifname, oifname;
    std::string protocol;      ///< "udp", "tcp", "icmp"
    int destination_port = 0;  ///< 0: any
    bool ipv6 = false;
};

/// The rule, or the policy of a chain, by which others drop the packet: "table ip filter, chain FORWARD:
/// policy drop". A rule whose matches are not understood is taken not to match. Nullopt: it passes.
std::optional<std::string> find_dropper(const nlohmann::json& ruleset, const ThoughtPacket& packet);

}  // namespace lxmgr::network
