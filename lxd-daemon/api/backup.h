#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

/// A stored backup of an instance.
struct InstanceBackup {
    std::string name;
    Time created_at{}, expires_at{};
    bool instance_only = false, optimized_storage = false;
};
nlohmann::json to_json(const InstanceBackup& backup);

/// POST .../backups, of an instance or of a volume ("volume_only").
struct BackupsPost {
    std::string name;                ///< empty: backup0, backup1, ...
    std::optional<Time> expires_at;  ///< nullopt and the epoch: never
    bool instance_only = false;      ///< also "container_only", "volume_only"
    bool optimized_storage = false;
    std::string compression_algorithm;
    bool has_target = false;  ///< an upload to somewhere else is asked for
};
Result<BackupsPost> parse_backups_post(const nlohmann::json& body);

}  // namespace lxmgr::api
