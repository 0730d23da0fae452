#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "lxd-daemon/api/storage_volume.h"
#include "lxd-daemon/instances/volumes/service.h"
#include "lxd-daemon/instances/volumes/users.h"
#include "lxd-daemon/rest/route.h"

/// What the routes of volumes and of their snapshots share.
namespace lxmgr::rest {

/// Name of the pool in the path. Errors: `not_found`.
Result<std::string> require_pool(const Request& request, const Services& services);
/// `bad_request` for a type that LXD has not.
Result<> check_volume_type(const std::string& type);
/// The custom volume in the path. Errors: `not_found`; `bad_request` for volumes of other types, which belong
/// to their instance or image.
Result<instances::VolumeName> require_custom(const Request& request, const Services& services);
/// Its row.
Result<database::VolumePtr> require_row(const Request& request, const Services& services);

api::StorageVolume custom_volume(const Request& request, const database::VolumeRecord& record,
                                 const instances::VolumeUserIndex& users);
api::StorageVolumeSnapshot volume_snapshot(const database::VolumeSnapshotRecord& record,
                                           const Services& services);

}  // namespace lxmgr::rest
