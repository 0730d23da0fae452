#pragma once
#include <nlohmann/json_fwd.hpp>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

/// Server configuration, PUT and PATCH /1.0.
namespace lxmgr::api {

Result<ConfigMap> parse_server_put(const nlohmann::json& body);
/// PATCH: merged into the current config.
Result<ConfigMap> patch_server(const nlohmann::json& body, ConfigMap current);

}  // namespace lxmgr::api
