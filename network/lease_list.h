#pragma once
#include <string>
#include <vector>

#include "network/bridge.h"
#include "network/bridge_config.h"
#include "network/lease_file.h"

namespace lxmgr::network {

/// What GET /1.0/networks/NAME/leases shows: the bridge itself ("gateway"), addresses set by the user
/// ("static"), what dnsmasq has leased and what stateless autoconfiguration gives to the claims ("dynamic").
/// Pure function.
std::vector<Lease> list_leases(const std::string& bridge, const BridgeConfig& config,
                               const std::vector<AddressClaim>& claims, const std::vector<FileLease>& leases);

}  // namespace lxmgr::network
