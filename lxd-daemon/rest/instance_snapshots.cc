#include <nlohmann/json.hpp>

#include "lxd-daemon/api/instance_snapshot.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/migration.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"

namespace lxmgr::rest {
namespace {

std::string url_of_snapshot(const Request& request, const std::string& name) {
    return url_of(
        {request.old_names ? "containers" : "instances", request.path_arg("name"), "snapshots", name});
}

Handled snapshots_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto snapshots, services.instances->snapshots(request.path_arg("name")));
    if (request.recursion() > 0) {
        co_return Response::sync_text(snapshots.empty() ? "[]" : api::to_json_text(snapshots));
    }
    nlohmann::json urls = nlohmann::json::array();
    for (const auto& snapshot : snapshots) urls.push_back(url_of_snapshot(request, snapshot.name));
    co_return Response::sync(urls);
}

Handled snapshots_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_instance_snapshots_post(body));
    LX_CO_TRY_AS(const auto operation,
                 services.instances->create_snapshot(request.path_arg("name"), std::move(post),
                                                     request.requestor_json));
    co_return Response::operation(*operation);
}

Result<api::InstanceSnapshot> find_snapshot(const Request& request, const Services& services) {
    LX_TRY(check_project(request));
    return services.instances->snapshot(request.path_arg("name"), request.path_arg("snapshot"));
}

Handled snapshot_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto snapshot, find_snapshot(request, services));
    co_return Response::sync_text(api::to_json_text(snapshot)).with_etag(etag_of(api::etag_fields(snapshot)));
}

Handled change_snapshot(const Request& request, Services& services, bool keep_absent) {
    LX_CO_TRY_AS(const auto snapshot, find_snapshot(request, services));
    LX_CO_TRY(check_etag(request, etag_of(api::etag_fields(snapshot))));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto put, api::parse_instance_snapshot_put(body));
    const Time expires_at = put.expires_at.value_or(keep_absent ? snapshot.expires_at : Time{});
    LX_CO_TRY_AS(const auto operation,
                 services.instances->update_snapshot(request.path_arg("name"), snapshot.name, expires_at,
                                                     request.requestor_json));
    co_return Response::operation(*operation);
}

Handled snapshot_put(const Request& request, Services& services) {
    return change_snapshot(request, services, false);
}
Handled snapshot_patch(const Request& request, Services& services) {
    return change_snapshot(request, services, true);
}

Handled snapshot_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto snapshot, find_snapshot(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto post, api::parse_instance_snapshot_post(body));
    if (post.migration) {
        instances::MigrationSubject subject{request.path_arg("name"), snapshot.name, false, false};
        auto sending = send_to_server(request, services, std::move(subject), body);
        co_return co_await std::move(sending);
    }
    LX_CO_TRY_AS(const auto operation,
                 services.instances->rename_snapshot(request.path_arg("name"), snapshot.name, post.name,
                                                     request.requestor_json));
    co_return Response::operation(*operation);
}

Handled snapshot_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto snapshot, find_snapshot(request, services));
    LX_CO_TRY_AS(const auto operation, services.instances->remove_snapshot(
                                           request.path_arg("name"), snapshot.name, request.requestor_json));
    co_return Response::operation(*operation);
}

Handled rebuild_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_instances_post(body));
    post.source.by_admin = request.identity.is_admin();
    LX_CO_TRY_AS(const auto operation,
                 services.instances->rebuild(request.path_arg("name"), post.source, request.requestor_json));
    co_return Response::operation(*operation);
}

constexpr Route kInstanceSnapshotsRoutes[] = {
    {Verb::get, "/1.0/instances/{name}/snapshots", Access::can_view, snapshots_get},
    {Verb::post, "/1.0/instances/{name}/snapshots", Access::can_edit, snapshots_post},
    {Verb::get, "/1.0/instances/{name}/snapshots/{snapshot}", Access::can_view, snapshot_get},
    {Verb::put, "/1.0/instances/{name}/snapshots/{snapshot}", Access::can_edit, snapshot_put},
    {Verb::patch, "/1.0/instances/{name}/snapshots/{snapshot}", Access::can_edit, snapshot_patch},
    {Verb::post, "/1.0/instances/{name}/snapshots/{snapshot}", Access::can_edit, snapshot_post},
    {Verb::del, "/1.0/instances/{name}/snapshots/{snapshot}", Access::can_edit, snapshot_delete},
    {Verb::post, "/1.0/instances/{name}/rebuild", Access::can_edit, rebuild_post},
};

}  // namespace

std::span<const Route> instance_snapshot_routes() { return kInstanceSnapshotsRoutes; }

}  // namespace lxmgr::rest
