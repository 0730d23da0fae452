#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/backup.h"
#include "lxd-daemon/instances/backups/service.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/backup_download.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"

// Wire: client-wire-notes, "export / import".
namespace lxmgr::rest {
namespace {

api::InstanceBackup backup_view(const database::BackupRecord& row) {
    return {row.name, row.created_at, row.expires_at, row.without_snapshots, row.optimized};
}

std::string url_of_backup(const Request& request, const std::string& name) {
    return url_of(
        {request.old_names ? "containers" : "instances", request.path_arg("name"), "backups", name});
}

Result<database::BackupPtr> find_backup(const Request& request, const Services& services) {
    LX_TRY(check_project(request));
    return services.instances->backups().require(request.path_arg("name"), request.path_arg("backup"));
}

Handled backups_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto rows, services.instances->backups().list(request.path_arg("name")));
    auto out = nlohmann::json::array();
    for (const auto& row : rows) {
        if (request.recursion() > 0) {
            out.push_back(api::to_json(backup_view(*row)));
        } else {
            out.push_back(url_of_backup(request, row->name));
        }
    }
    co_return Response::sync(out);
}

Handled backups_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_backups_post(body));
    LX_CO_TRY_AS(const auto operation,
                 services.instances->backups().create(request.path_arg("name"), std::move(post),
                                                      request.requestor_json));
    co_return Response::operation(*operation);
}

Handled backup_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto row, find_backup(request, services));
    co_return Response::sync(api::to_json(backup_view(*row)));
}

Handled backup_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto row, find_backup(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto post, api::parse_backups_post(body));
    LX_CO_TRY_AS(const auto operation,
                 services.instances->backups().rename(request.path_arg("name"), row->name, post.name,
                                                      request.requestor_json));
    co_return Response::operation(*operation);
}

Handled backup_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto row, find_backup(request, services));
    LX_CO_TRY_AS(const auto operation, services.instances->backups().remove(
                                           request.path_arg("name"), row->name, request.requestor_json));
    co_return Response::operation(*operation);
}

Handled backup_export(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto row, find_backup(request, services));
    auto downloading = download_backup(services, row);
    LX_CO_TRY_AS(auto response, co_await std::move(downloading));
    publish_lifecycle(services, request.requestor_json, "instance-backup-retrieved",
                      url_of_backup(request, row->name));
    co_return std::move(response);
}

constexpr Route kInstanceBackupsRoutes[] = {
    {Verb::get, "/1.0/instances/{name}/backups", Access::can_view, backups_get},
    {Verb::post, "/1.0/instances/{name}/backups", Access::can_edit, backups_post},
    {Verb::get, "/1.0/instances/{name}/backups/{backup}", Access::can_view, backup_get},
    {Verb::post, "/1.0/instances/{name}/backups/{backup}", Access::can_edit, backup_post},
    {Verb::del, "/1.0/instances/{name}/backups/{backup}", Access::can_edit, backup_delete},
    {Verb::get, "/1.0/instances/{name}/backups/{backup}/export", Access::can_edit, backup_export},
};

}  // namespace

std::span<const Route> instance_backup_routes() { return kInstanceBackupsRoutes; }

}  // namespace lxmgr::rest
