#include <nlohmann/json.hpp>

#include "lxd-daemon/api/backup.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/backups/service.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/backup_download.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"
#include "lxd-daemon/rest/volume_views.h"

// Backups of custom volumes. Wire: client-wire-notes, "export / import".
namespace lxmgr::rest {
namespace {

nlohmann::json shown(const database::BackupRecord& row) {
    return {{"name", row.name},
            {"created_at", to_rfc3339(row.created_at)},
            {"expires_at", to_rfc3339(row.expires_at)},
            {"volume_only", row.without_snapshots},
            {"optimized_storage", false}};
}

std::string url_of_volume_backup(const instances::VolumeName& volume, const std::string& name) {
    return api::public_url(instances::volume_url(volume) + "/backups/" + name);
}

Result<database::BackupPtr> find_volume_backup(const Request& request, const Services& services) {
    LX_TRY_AS(const auto volume, require_row(request, services));
    auto found = services.database->backups().find(0, volume->id, request.path_arg("backup"));
    if (!found) return fail(Status::not_found, "Storage volume backup not found");
    return found;
}

Handled volume_backups_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto volume, require_row(request, services));
    auto out = nlohmann::json::array();
    for (const auto& row : services.database->backups().list(0, volume->id)) {
        if (request.recursion() > 0) {
            out.push_back(shown(*row));
        } else {
            out.push_back(url_of_volume_backup({volume->pool, volume->name}, row->name));
        }
    }
    co_return Response::sync(out);
}

Handled volume_backups_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto name, require_custom(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_backups_post(body));
    LX_CO_TRY_AS(const auto operation,
                 services.instances->backups().create(name, std::move(post), request.requestor_json));
    co_return Response::operation(*operation);
}

Handled volume_backup_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto row, find_volume_backup(request, services));
    co_return Response::sync(shown(*row));
}

Handled volume_backup_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto name, require_custom(request, services));
    LX_CO_TRY_AS(const auto row, find_volume_backup(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto post, api::parse_backups_post(body));
    LX_CO_TRY_AS(const auto operation,
                 services.instances->backups().rename(name, row->name, post.name, request.requestor_json));
    co_return Response::operation(*operation);
}

Handled volume_backup_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto name, require_custom(request, services));
    LX_CO_TRY_AS(const auto row, find_volume_backup(request, services));
    LX_CO_TRY_AS(const auto operation,
                 services.instances->backups().remove(name, row->name, request.requestor_json));
    co_return Response::operation(*operation);
}

Handled volume_backup_export(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto name, require_custom(request, services));
    LX_CO_TRY_AS(const auto row, find_volume_backup(request, services));
    auto downloading = download_backup(services, row);
    LX_CO_TRY_AS(auto response, co_await std::move(downloading));
    publish_lifecycle(services, request.requestor_json, "storage-volume-backup-retrieved",
                      url_of_volume_backup(name, row->name));
    co_return std::move(response);
}

#define BACKUPS "/1.0/storage-pools/{pool}/volumes/{type}/{name}/backups"
constexpr Route kStorageVolumeBackupsRoutes[] = {
    {Verb::get, BACKUPS, Access::can_view, volume_backups_get},
    {Verb::post, BACKUPS, Access::can_edit, volume_backups_post},
    {Verb::get, BACKUPS "/{backup}", Access::can_view, volume_backup_get},
    {Verb::post, BACKUPS "/{backup}", Access::can_edit, volume_backup_post},
    {Verb::del, BACKUPS "/{backup}", Access::can_edit, volume_backup_delete},
    {Verb::get, BACKUPS "/{backup}/export", Access::can_edit, volume_backup_export},
};
#undef BACKUPS

}  // namespace

std::span<const Route> storage_volume_backup_routes() { return kStorageVolumeBackupsRoutes; }

}  // namespace lxmgr::rest
