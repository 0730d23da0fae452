#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"
#include "lxd-daemon/rest/volume_views.h"

// Snapshots of custom volumes. Wire: create, rename and delete are operations; PUT and PATCH are done at
// return, as LXD 5.0.2.
namespace lxmgr::rest {
namespace {

Result<database::VolumeSnapshotPtr> require_snapshot(const Request& request, const Services& services) {
    LX_TRY_AS(const auto volume, require_row(request, services));
    auto found = services.database->volumes().find_snapshot(volume->id, request.path_arg("snapshot"));
    if (!found) return fail(Status::not_found, "Storage volume snapshot not found");
    return found;
}

/// Snapshots of an instance, as of its volume: to be read here, made and removed by the instance.
Result<database::InstancePtr> instance_of_volume(const Request& request, const Services& services) {
    LX_TRY_AS(const std::string pool, require_pool(request, services));
    auto instance = services.database->instances().find(request.path_arg("name"));
    if (!instance || instance->pool != pool) return fail(Status::not_found, "Storage volume not found");
    return instance;
}

api::StorageVolumeSnapshot instance_volume_snapshot(const database::SnapshotRecord& record) {
    api::StorageVolumeSnapshot out;
    out.name = record.name;
    out.created_at = record.created_at;
    out.expires_at = record.expires_at;
    return out;
}

Handled instance_volume_snapshots(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto instance, instance_of_volume(request, services));
    const auto named = api::split_instance_key(instance->name);
    auto out = nlohmann::json::array();
    for (const auto& snapshot : services.database->snapshots().list(instance->id)) {
        if (request.recursion() == 0) {
            out.push_back(api::with_project(url_of({"storage-pools", instance->pool, "volumes", "container",
                                                    named.name, "snapshots", snapshot->name}),
                                            named.project));
            continue;
        }
        auto shown = instance_volume_snapshot(*snapshot);
        shown.name = named.name + "/" + snapshot->name;
        out.push_back(api::to_json(shown));
    }
    co_return Response::sync(out);
}

Handled instance_volume_snapshot_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto instance, instance_of_volume(request, services));
    const auto snapshot = services.database->snapshots().find(instance->id, request.path_arg("snapshot"));
    if (!snapshot) co_return fail(Status::not_found, "Storage volume snapshot not found");
    const auto shown = instance_volume_snapshot(*snapshot);
    co_return Response::sync(api::to_json(shown)).with_etag(etag_of(api::etag_fields(shown)));
}

Handled volume_snapshots_get(const Request& request, Services& services) {
    if (request.path_arg("type") == "container")
        co_return co_await instance_volume_snapshots(request, services);
    LX_CO_TRY_AS(const auto volume, require_row(request, services));
    auto out = nlohmann::json::array();
    for (const auto& snapshot : services.database->volumes().snapshots(volume->id)) {
        if (request.recursion() == 0) {
            out.push_back(api::public_url(
                instances::volume_snapshot_url({volume->pool, volume->name}, snapshot->name)));
            continue;
        }
        auto shown = volume_snapshot(*snapshot, services);
        shown.name = api::plain_name(volume->name) + "/" + snapshot->name;
        out.push_back(api::to_json(shown));
    }
    co_return Response::sync(out);
}

Handled volume_snapshots_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto name, require_custom(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto post, api::parse_storage_volume_snapshots_post(body));
    LX_CO_TRY_AS(const auto operation,
                 services.instances->volumes().create_snapshot(name, post, request.requestor_json));
    co_return Response::operation(*operation);
}

Handled volume_snapshot_get(const Request& request, Services& services) {
    if (request.path_arg("type") == "container")
        co_return co_await instance_volume_snapshot_get(request, services);
    LX_CO_TRY_AS(const auto row, require_snapshot(request, services));
    const auto shown = volume_snapshot(*row, services);
    co_return Response::sync(api::to_json(shown)).with_etag(etag_of(api::etag_fields(shown)));
}

Handled change_volume_snapshot(const Request& request, Services& services, bool keep_absent) {
    LX_CO_TRY_AS(const auto name, require_custom(request, services));
    LX_CO_TRY_AS(const auto row, require_snapshot(request, services));
    LX_CO_TRY(check_etag(request, etag_of(api::etag_fields(volume_snapshot(*row, services)))));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto put, api::parse_storage_volume_snapshot_put(body));
    if (!keep_absent) {
        put.description = put.description.value_or("");
        put.expires_at = put.expires_at.value_or(Time{});
    }
    auto work = [&services, name, snapshot = row->name, put, requestor = request.requestor_json] {
        return services.instances->volumes().update_snapshot(name, snapshot, put, requestor);
    };
    auto pending = on_worker(services, std::move(work));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled volume_snapshot_put(const Request& request, Services& services) {
    return change_volume_snapshot(request, services, false);
}
Handled volume_snapshot_patch(const Request& request, Services& services) {
    return change_volume_snapshot(request, services, true);
}

Handled volume_snapshot_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto name, require_custom(request, services));
    LX_CO_TRY_AS(const auto row, require_snapshot(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto post, api::parse_storage_volume_post(body));
    if (post.migration)
        co_return fail(Status::bad_request,
                       "Moving a snapshot to another server is not supported: only renaming");
    LX_CO_TRY_AS(const auto operation, services.instances->volumes().rename_snapshot(
                                           name, row->name, post.name, request.requestor_json));
    co_return Response::operation(*operation);
}

Handled volume_snapshot_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto name, require_custom(request, services));
    LX_CO_TRY_AS(const auto row, require_snapshot(request, services));
    LX_CO_TRY_AS(const auto operation,
                 services.instances->volumes().remove_snapshot(name, row->name, request.requestor_json));
    co_return Response::operation(*operation);
}

#define SNAPSHOTS "/1.0/storage-pools/{pool}/volumes/{type}/{name}/snapshots"
constexpr Route kStorageVolumeSnapshotsRoutes[] = {
    {Verb::get, SNAPSHOTS, Access::can_view, volume_snapshots_get},
    {Verb::post, SNAPSHOTS, Access::can_edit, volume_snapshots_post},
    {Verb::get, SNAPSHOTS "/{snapshot}", Access::can_view, volume_snapshot_get},
    {Verb::put, SNAPSHOTS "/{snapshot}", Access::can_edit, volume_snapshot_put},
    {Verb::patch, SNAPSHOTS "/{snapshot}", Access::can_edit, volume_snapshot_patch},
    {Verb::post, SNAPSHOTS "/{snapshot}", Access::can_edit, volume_snapshot_post},
    {Verb::del, SNAPSHOTS "/{snapshot}", Access::can_edit, volume_snapshot_delete},
};
#undef SNAPSHOTS

}  // namespace

std::span<const Route> storage_volume_snapshot_routes() { return kStorageVolumeSnapshotsRoutes; }

}  // namespace lxmgr::rest
