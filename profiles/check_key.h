#pragma once
#include <string_view>

#include "lxd-daemon/base/result.h"
#include "profiles/config_keys.h"

/// Private to the room: one key and its value against its row.
namespace lxmgr::profiles {

/// Length and characters of a key, whatever it means.
Result<> check_key_text(std::string_view key);
Result<> check_value(const ConfigKey& row, std::string_view key, std::string_view value);

}  // namespace lxmgr::profiles
