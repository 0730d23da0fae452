#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

/// What the bodies of several entities share.
namespace lxmgr::api {

/// {"name": NEW}: the body of a rename. Errors: `bad_request` without a name.
Result<std::string> parse_rename(const nlohmann::json& body);

/// PATCH: the given keys over the present ones; an empty value removes its key, as LXD does.
void merge_config(const ConfigMap& changes, ConfigMap& config);

}  // namespace lxmgr::api
