#pragma once
#include <string>

#include "lxd-daemon/base/result.h"
#include "network/bridge_config.h"
#include "network/firewall_policy.h"

/// The rules of a bridge: base chains of its own, named <hook>.<bridge>, in the table `inet lxmgr`, which is
/// ours alone.
namespace lxmgr::network {

/// Makes the bridge's rules those of the config: in one transaction, or not at all when they are that
/// already. Every rule carries a comment with a digest of all of them, by which that is seen: replacing base
/// chains makes the kernel wait for 10 ms and more.
Result<> apply_firewall(const std::string& bridge, const BridgeConfig& config, const FirewallPolicy& policy);
/// Removes the bridge's chains, and the table with the last of them. Absent ones are success.
Result<> remove_firewall(const std::string& bridge);

}  // namespace lxmgr::network
