#include "lxd-daemon/api/storage_volume.h"

#include <nlohmann/json.hpp>

namespace lxmgr::api {

nlohmann::json to_json(const StorageVolume& volume) {
    return {{"name", volume.name},
            {"description", volume.description},
            {"type", volume.type},
            {"content_type", volume.content_type},
            {"config", volume.config},
            {"used_by", volume.used_by},
            {"location", "none"},
            {"project", "default"},
            {"created_at", to_rfc3339(volume.created_at)}};
}

nlohmann::json etag_fields(const StorageVolume& volume) {
    return {{"name", volume.name},
            {"type", volume.type},
            {"config", volume.config},
            {"description", volume.description}};
}

}  // namespace lxmgr::api
