#include "lxd-daemon/rest/volume_views.h"

#include <fmt/format.h>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/projects.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {

Result<std::string> require_pool(const Request& request, const Services& services) {
    LX_TRY(check_project(request));
    const std::string& name = request.path_arg("pool");
    if (!services.database->pools().find(name)) return fail(Status::not_found, "Storage pool not found");
    return name;
}

Result<> check_volume_type(const std::string& type) {
    for (const char* known : {"container", "image", "custom", "virtual-machine"}) {
        if (type == known) return {};
    }
    return fail(Status::bad_request, fmt::format("Invalid storage volume type \"{}\"", type));
}

Result<instances::VolumeName> require_custom(const Request& request, const Services& services) {
    LX_TRY_AS(const std::string pool, require_pool(request, services));
    const std::string& type = request.path_arg("type");
    LX_TRY(check_volume_type(type));
    if (type != "custom")
        return fail(
            Status::bad_request,
            fmt::format("Storage volumes of type \"{}\" belong to their instance or image: change that",
                        type));
    return instances::VolumeName{pool, request.path_arg("name"), request.project};
}

Result<database::VolumePtr> require_row(const Request& request, const Services& services) {
    LX_TRY_AS(const auto name, require_custom(request, services));
    auto row = services.database->volumes().find(name.pool, name.name);
    if (!row) return fail(Status::not_found, "Storage volume not found");
    return row;
}

api::StorageVolume custom_volume(const Request& request, const database::VolumeRecord& record,
                                 const instances::VolumeUserIndex& users) {
    api::StorageVolume out;
    auto named = api::split_object_key(record.name);
    out.name = std::move(named.name);
    out.project = std::move(named.project);
    out.description = record.description;
    out.type = "custom";
    out.content_type = record.content_type;
    out.config = record.config;
    out.used_by = visible_users(request, users.of(record.pool, record.name).urls());
    out.created_at = record.created_at;
    return out;
}

api::StorageVolumeSnapshot volume_snapshot(const database::VolumeSnapshotRecord& record,
                                           const Services& services) {
    api::StorageVolumeSnapshot out;
    if (const auto volume = services.database->volumes().find_id(record.volume_id))
        out.content_type = volume->content_type;
    out.name = record.name;
    out.description = record.description;
    out.config = record.config;
    out.created_at = record.created_at;
    out.expires_at = record.expires_at;
    return out;
}

}  // namespace lxmgr::rest
