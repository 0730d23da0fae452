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

}  // namespace lxmgr::network
