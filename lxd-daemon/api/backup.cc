#include "lxd-daemon/api/backup.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

nlohmann::json to_json(const InstanceBackup& backup) {
    return {{"name", backup.name},
            {"created_at", to_rfc3339(backup.created_at)},
            {"expires_at", to_rfc3339(backup.expires_at)},
            {"instance_only", backup.instance_only},
            {"container_only", backup.instance_only},
            {"optimized_storage", backup.optimized_storage}};
}

Result<BackupsPost> parse_backups_post(const nlohmann::json& body) {
    BackupsPost out;
    bool container_only = false, volume_only = false;
    Reader reader(body);
    reader.text("name", out.name)
        .time("expires_at", out.expires_at)
        .flag("instance_only", out.instance_only)
        .flag("container_only", container_only)
        .flag("volume_only", volume_only)
        .flag("optimized_storage", out.optimized_storage)
        .text("compression_algorithm", out.compression_algorithm);
    out.has_target = reader.object("target") != nullptr;
    LX_TRY(reader.done());
    out.instance_only = out.instance_only || container_only || volume_only;
    return out;
}

}  // namespace lxmgr::api
