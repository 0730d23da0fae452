#pragma once
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

/// Where the websockets of the other server of a migration are.
struct MigrationPeer {
    std::string operation;                       ///< https://HOST:PORT/1.0/operations/UUID
    std::string certificate;                     ///< in PEM; empty: of an authority that is trusted
    std::map<std::string, std::string> secrets;  ///< "control", "fs"
};
/// What a migration's request says of it: as `target` of a source's, as `source` of a target's. Errors:
/// `bad_request`.
Result<MigrationPeer> parse_migration_peer(const nlohmann::json& object, const std::string& prefix);

}  // namespace lxmgr::api
