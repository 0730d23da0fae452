#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"

/// LXD's preseed: what a server shall have, as YAML.
namespace lxmgr::cli {

struct Preseed {
    nlohmann::json config = nlohmann::json::object();  ///< server keys
    std::vector<nlohmann::json> pools;                 ///< name, driver, config, description
    std::vector<nlohmann::json> networks;              ///< name, type, config, description
    std::vector<nlohmann::json> profiles;              ///< name, config, devices, description
};

/// Errors: `bad_request` naming the place ("networks[0]: unknown key 'foo'"). Unknown keys are errors, and so
/// are sections that this server does not know (projects other than 'default', storage_volumes, cluster).
Result<Preseed> parse_preseed(const std::string& yaml);

/// What an existing object becomes: keys of `wanted` replace its own, others stay; "auto" keeps a value that
/// is there. Only `config`, `devices` and `description` are touched.
nlohmann::json merged(const nlohmann::json& existing, const nlohmann::json& wanted);

}  // namespace lxmgr::cli
