#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

/// A snapshot as GET /1.0/instances/NAME/snapshots/SNAPSHOT shows it (LXD 5.0.2's key set).
struct InstanceSnapshot {
    std::string name;  ///< its own, without the instance's
    std::string architecture;
    bool ephemeral = false;
    ConfigMap config, expanded_config;
    DeviceMap devices, expanded_devices;
    std::vector<std::string> profiles;
    Time created_at{}, last_used_at{}, expires_at{};
    std::int64_t size_bytes = -1;  ///< -1: unknown
};
std::string to_json_text(const InstanceSnapshot& snapshot);
/// A list of them; `null` for none, as LXD shows the snapshots inside an instance.
std::string to_json_text(const std::vector<InstanceSnapshot>& snapshots);
/// The writable field: what the ETag covers.
nlohmann::json etag_fields(const InstanceSnapshot& snapshot);

/// POST /1.0/instances/NAME/snapshots
struct InstanceSnapshotsPost {
    std::string name;  ///< empty: by snapshots.pattern
    bool stateful = false;
    std::optional<Time> expires_at;  ///< nullopt: by snapshots.expiry; the epoch: never
};
Result<InstanceSnapshotsPost> parse_instance_snapshots_post(const nlohmann::json& body);

/// POST /1.0/instances/NAME/snapshots/SNAPSHOT
struct InstanceSnapshotPost {
    std::string name;
    bool migration = false;
};
Result<InstanceSnapshotPost> parse_instance_snapshot_post(const nlohmann::json& body);

/// PUT and PATCH of a snapshot; what a PUT leaves out is "never".
struct InstanceSnapshotPut {
    std::optional<Time> expires_at;
};
Result<InstanceSnapshotPut> parse_instance_snapshot_put(const nlohmann::json& body);

}  // namespace lxmgr::api
