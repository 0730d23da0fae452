#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::profiles {

/// Both ends are part of it.
struct VlanRange {
    std::uint16_t first = 0, last = 0;
};
/// "10,20-29": ids from 1 to 4094, each at most once. Errors: `bad_request`.
Result<std::vector<VlanRange>> parse_vlans(std::string_view text);

namespace check {
/// One id.
Result<> vlan(std::string_view key, std::string_view value);
/// One id, or none.
Result<> vlan_or_none(std::string_view key, std::string_view value);
Result<> vlan_list(std::string_view key, std::string_view value);
}  // namespace check

}  // namespace lxmgr::profiles
