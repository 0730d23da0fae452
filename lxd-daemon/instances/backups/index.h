#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "images/backup_reader.h"
#include "lxd-daemon/base/result.h"

/// Private to the room: what a backup says of itself. Nothing of it is believed.
namespace lxmgr::instances {

struct BackupIndex {
    std::string name, pool;
    std::string form;  ///< of which storage driver its streams are; empty: it holds plain trees
    std::vector<std::string> snapshots;  ///< valid names
    nlohmann::json config;               ///< an object
};
/// @param object  what backup/index.yaml holds, as JSON
/// @param type    "container" or "custom": what the backup must be of. Errors: `bad_request`.
Result<BackupIndex> parse_index(const nlohmann::json& object, const std::string& type);
/// parse_index() of that backup, whose index has not been read yet.
Result<BackupIndex> read_index(images::BackupReader& backup, const std::string& type);

/// The object of that name in a list of the index; null when there is none.
const nlohmann::json* object_named(const nlohmann::json& config, const char* list, const std::string& name);

}  // namespace lxmgr::instances
