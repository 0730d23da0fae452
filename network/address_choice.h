#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "network/bridge_config.h"

namespace lxmgr::network {

/// The first free address of the pool from a start that the name alone determines, so that an instance
/// created again gets its old address where it is free. Pure function. Errors: `unavailable` when all are
/// taken.
Result<std::uint32_t> choose_address(std::string_view name, const BridgeConfig& config,
                                     std::vector<std::uint32_t> taken);

/// The same of IPv6, among the first 2^32 addresses of each range.
Result<Ipv6> choose_address_v6(std::string_view name, const BridgeConfig& config, std::vector<Ipv6> taken);

}  // namespace lxmgr::network
