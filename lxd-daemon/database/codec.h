#pragma once
#include <string>
#include <string_view>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

/// Private to the room: maps as JSON text in a column.
namespace lxmgr::database {

std::string encode(const api::ConfigMap& config);
std::string encode(const api::DeviceMap& devices);
/// `row` ("instance 'web'") is named in the error of a column that holds no such map.
Result<api::ConfigMap> decode_config(std::string_view text, std::string_view row);
Result<api::DeviceMap> decode_devices(std::string_view text, std::string_view row);

}  // namespace lxmgr::database
