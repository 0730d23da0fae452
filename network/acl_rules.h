#pragma once
#include <string>
#include <vector>

#include "network/firewall_rules.h"

/// ACLs and forwards of a bridge as rules. Pure functions.
namespace lxmgr::network {

/// ACLs hold where packets cross between the bridge and the host, in both directions: chains `aclin.BRIDGE`
/// (to instances) and `aclout.BRIDGE` (from them), to which the base chains jump. Drops count first, then
/// rejects, then allows, then the default. None without ACLs.
void add_acl_rules(std::vector<Rule>& rules, const std::string& bridge, const FirewallPolicy& policy);
/// In the place where the base chains look at ACLs: before the bridge's own rules about forwarding.
void add_acl_jumps(std::vector<Rule>& rules, const std::string& bridge, const FirewallPolicy& policy);

void add_forward_rules(std::vector<Rule>& rules, const BridgeConfig& config, const FirewallPolicy& policy);

}  // namespace lxmgr::network
