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

struct StorageVolume {
    std::string name, description;
    std::string type;  ///< "container", "image", "custom"
    std::string content_type = "filesystem";
    ConfigMap config;
    std::vector<std::string> used_by;
    Time created_at{};
    std::string project = "default";
};
nlohmann::json to_json(const StorageVolume& volume);
nlohmann::json etag_fields(const StorageVolume& volume);

struct StorageVolumeSnapshot {
    std::string name;  ///< its own, or "VOLUME/SNAPSHOT" in lists
    std::string description, content_type = "filesystem";
    ConfigMap config;
    Time created_at{}, expires_at{};
};
nlohmann::json to_json(const StorageVolumeSnapshot& snapshot);
nlohmann::json etag_fields(const StorageVolumeSnapshot& snapshot);

/// Where a new volume comes from.
struct StorageVolumeSource {
    std::string type;  ///< empty: an empty volume; "copy", "migration"
    std::string name;  ///< "VOLUME" or "VOLUME/SNAPSHOT"
    std::string pool;  ///< empty: the new volume's
    std::string project, location;
    bool volume_only = false, refresh = false;
};

/// POST /1.0/storage-pools/POOL/volumes[/TYPE]
struct StorageVolumesPost {
    std::string name, type, content_type;
    std::optional<std::string> description;  ///< of a copy: nullopt is the source's
    std::optional<ConfigMap> config;         ///< the same
    StorageVolumeSource source;
    std::string in_project = "default";  ///< that the request is for; not of the body
};
Result<StorageVolumesPost> parse_storage_volumes_post(const nlohmann::json& body);

/// PUT of a volume
struct StorageVolumePut {
    std::string description;
    ConfigMap config;
    std::string restore;  ///< snapshot; then the rest does not count
};
Result<StorageVolumePut> parse_storage_volume_put(const nlohmann::json& body);
/// PATCH: what is absent stays; config keys merge.
Result<StorageVolumePut> patch_storage_volume(const nlohmann::json& body, StorageVolumePut current);

/// POST of a volume: rename, move or migrate.
struct StorageVolumePost {
    std::string name;
    std::string pool;  ///< empty: stays where it is
    std::string project;
    bool migration = false, volume_only = false;
};
Result<StorageVolumePost> parse_storage_volume_post(const nlohmann::json& body);

/// POST .../snapshots
struct StorageVolumeSnapshotsPost {
    std::string name;  ///< empty: by snapshots.pattern
    std::string description;
    std::optional<Time> expires_at;  ///< nullopt: by snapshots.expiry; the epoch: never
};
Result<StorageVolumeSnapshotsPost> parse_storage_volume_snapshots_post(const nlohmann::json& body);

/// PUT and PATCH of a snapshot: what is absent is nullopt.
struct StorageVolumeSnapshotPut {
    std::optional<std::string> description;
    std::optional<Time> expires_at;
};
Result<StorageVolumeSnapshotPut> parse_storage_volume_snapshot_put(const nlohmann::json& body);

}  // namespace lxmgr::api
