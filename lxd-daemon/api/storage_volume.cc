#include "lxd-daemon/api/storage_volume.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

nlohmann::json to_json(const StorageVolume& volume) {
    return {{"name", volume.name},
            {"description", volume.description},
            {"type", volume.type},
            {"content_type", volume.content_type},
            {"config", volume.config},
            {"used_by", volume.used_by},
            {"location", "none"},
            {"project", volume.project},
            {"created_at", to_rfc3339(volume.created_at)}};
}

nlohmann::json etag_fields(const StorageVolume& volume) {
    return {{"name", volume.name},
            {"type", volume.type},
            {"config", volume.config},
            {"description", volume.description}};
}

nlohmann::json to_json(const StorageVolumeSnapshot& snapshot) {
    return {{"name", snapshot.name},
            {"description", snapshot.description},
            {"content_type", snapshot.content_type},
            {"config", snapshot.config},
            {"created_at", to_rfc3339(snapshot.created_at)},
            {"expires_at", snapshot.expires_at == Time{} ? nlohmann::json()
                                                         : nlohmann::json(to_rfc3339(snapshot.expires_at))}};
}

nlohmann::json etag_fields(const StorageVolumeSnapshot& snapshot) {
    return {{"description", snapshot.description}, {"expires_at", to_rfc3339(snapshot.expires_at)}};
}

namespace {

Result<StorageVolumeSource> parse_volume_source(const nlohmann::json& source) {
    StorageVolumeSource out;
    Reader reader(source, "source.");
    LX_TRY(reader.text("type", out.type)
               .text("name", out.name)
               .text("pool", out.pool)
               .text("project", out.project)
               .text("location", out.location)
               .flag("volume_only", out.volume_only)
               .flag("refresh", out.refresh)
               .done());
    return out;
}

}  // namespace

Result<StorageVolumesPost> parse_storage_volumes_post(const nlohmann::json& body) {
    StorageVolumesPost out;
    Reader reader(body);
    ConfigMap config;
    reader.text("name", out.name)
        .text("type", out.type)
        .text("content_type", out.content_type)
        .text("description", out.description)
        .map("config", config);
    const nlohmann::json* source = reader.object("source");
    LX_TRY(reader.done());
    drop_empty(config);
    if (body.contains("config") && !body["config"].is_null()) out.config = std::move(config);
    if (out.description && out.description->empty()) out.description.reset();
    if (source != nullptr) {
        LX_TRY_AS(out.source, parse_volume_source(*source));
    }
    return out;
}

Result<StorageVolumePut> parse_storage_volume_put(const nlohmann::json& body) {
    StorageVolumePut out;
    Reader reader(body);
    LX_TRY(reader.text("description", out.description)
               .map("config", out.config)
               .text("restore", out.restore)
               .done());
    drop_empty(out.config);
    return out;
}

Result<StorageVolumePut> patch_storage_volume(const nlohmann::json& body, StorageVolumePut current) {
    ConfigMap config;
    Reader reader(body);
    LX_TRY(reader.text("description", current.description).map("config", config).done());
    merge_config(config, current.config);
    return current;
}

Result<StorageVolumePost> parse_storage_volume_post(const nlohmann::json& body) {
    StorageVolumePost out;
    Reader reader(body);
    LX_TRY(reader.text("name", out.name)
               .text("pool", out.pool)
               .text("project", out.project)
               .flag("migration", out.migration)
               .flag("volume_only", out.volume_only)
               .done());
    return out;
}

Result<StorageVolumeSnapshotsPost> parse_storage_volume_snapshots_post(const nlohmann::json& body) {
    StorageVolumeSnapshotsPost out;
    Reader reader(body);
    LX_TRY(reader.text("name", out.name)
               .text("description", out.description)
               .time("expires_at", out.expires_at)
               .done());
    return out;
}

Result<StorageVolumeSnapshotPut> parse_storage_volume_snapshot_put(const nlohmann::json& body) {
    StorageVolumeSnapshotPut out;
    Reader reader(body);
    LX_TRY(reader.text("description", out.description).time("expires_at", out.expires_at).done());
    return out;
}

}  // namespace lxmgr::api
