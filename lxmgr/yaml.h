#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::cli {

/// Block-style YAML that from_yaml() and LXD read back as the same value: strings that look like something
/// else are quoted.
std::string to_yaml(const nlohmann::json& value);

/// Reads one YAML document. Plain scalars become null, bool, integer or number by the core schema of
/// YAML 1.2, except below the keys `config`, `devices` and `properties`, whose values are strings on the
/// wire: there the text is kept as written (`true`, `1.10`), and null becomes "". Errors: `bad_request` with
/// the line; a key that occurs twice and nesting deeper than 64 are errors.
Result<nlohmann::json> from_yaml(const std::string& text);

}  // namespace lxmgr::cli
