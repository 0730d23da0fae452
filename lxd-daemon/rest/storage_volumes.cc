#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/api/storage_volume.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/backups/service.h"
#include "lxd-daemon/instances/pools.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/backup_upload.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/migration.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/projects.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"
#include "lxd-daemon/rest/visible.h"
#include "lxd-daemon/rest/volume_views.h"

// The volumes of a pool, as GET .../storage-pools/POOL/volumes shows them. Those of instances and images have
// no rows of their own: a container volume is its instance's, an image volume is there when the image was
// unpacked in the pool.
namespace lxmgr::rest {
namespace {

api::StorageVolume container_volume(const database::InstanceRecord& instance) {
    api::StorageVolume out;
    auto named = api::split_instance_key(instance.name);
    out.name = std::move(named.name);
    out.project = std::move(named.project);
    out.type = "container";
    out.used_by = {url_of({"instances", instance.name})};
    out.created_at = instance.created_at;
    return out;
}

/// With its snapshots behind it, as "INSTANCE/SNAPSHOT".
void add_instance(database::Database& database, const database::InstanceRecord& instance,
                  nlohmann::json& out) {
    const api::StorageVolume volume = container_volume(instance);
    out.push_back(api::to_json(volume));
    for (const auto& snapshot : database.snapshots().list(instance.id)) {
        api::StorageVolume shown = volume;
        shown.name += "/" + snapshot->name;
        shown.used_by = {url_of({"instances", instance.name, "snapshots", snapshot->name})};
        shown.created_at = snapshot->created_at;
        out.push_back(api::to_json(shown));
    }
}

api::StorageVolume image_volume(const database::ImageRecord& image) {
    api::StorageVolume out;
    out.name = image.fingerprint;
    out.type = "image";
    out.used_by = {url_of({"images", image.fingerprint})};
    out.created_at = image.uploaded_at;
    return out;
}

/// Each with its snapshots behind it, as "VOLUME/SNAPSHOT".
void add_custom_volumes(const Request& request, const Services& services, const std::string& pool,
                        nlohmann::json& out) {
    auto& database = *services.database;
    const instances::VolumeUserIndex users(database);
    const std::string own = holder(request, services, database::Feature::volumes);
    for (const auto& volume : database.volumes().list(pool)) {
        if (!lists(request, own, api::split_object_key(volume->name).project)) continue;
        out.push_back(api::to_json(custom_volume(request, *volume, users)));
        for (const auto& snapshot : database.volumes().snapshots(volume->id)) {
            api::StorageVolume shown = custom_volume(request, *volume, users);
            shown.name += "/" + snapshot->name;
            shown.description = snapshot->description;
            shown.config = snapshot->config;
            shown.used_by.clear();
            shown.created_at = snapshot->created_at;
            out.push_back(api::to_json(shown));
        }
    }
}

std::string url_of_volume(const std::string& pool, const nlohmann::json& volume) {
    const std::string type = volume.at("type").get<std::string>();
    const std::string name = volume.at("name").get<std::string>();
    const auto slash = name.find('/');
    const auto url = slash == std::string::npos
                         ? url_of({"storage-pools", pool, "volumes", type, name})
                         : url_of({"storage-pools", pool, "volumes", type, name.substr(0, slash), "snapshots",
                                   name.substr(slash + 1)});
    return api::with_project(url, volume.at("project").get<std::string>());
}

/// Blocking: looks for images on disk. An empty type: all.
nlohmann::json volumes_of(const Request& request, const Services& services, const std::string& pool,
                          const std::string& type) {
    auto out = nlohmann::json::array();
    if (type.empty() || type == "container") {
        for (const auto& instance : services.database->instances().list()) {
            const std::string project = api::split_instance_key(instance->name).project;
            if (instance->pool == pool && lists(request, request.project, project))
                add_instance(*services.database, *instance, out);
        }
    }
    if (type.empty() || type == "image") {
        const std::string own = holder(request, services, database::Feature::images);
        for (const auto& image : services.database->images().list()) {
            const auto shown = [&](const std::string& project) { return lists(request, own, project); };
            if (std::ranges::any_of(image->projects, shown) &&
                services.pools->has_image(pool, image->fingerprint))
                out.push_back(api::to_json(image_volume(*image)));
        }
    }
    if (type.empty() || type == "custom") add_custom_volumes(request, services, pool, out);
    return out;
}

std::optional<api::StorageVolume> find_volume(const Request& request, const Services& services) {
    const std::string &pool = request.path_arg("pool"), &type = request.path_arg("type"),
                      &name = request.path_arg("name");
    if (type == "container") {
        const auto instance = services.database->instances().find(name);
        if (instance && instance->pool == pool) return container_volume(*instance);
    }
    if (type == "image") {
        const auto image = services.database->images().find(name);
        const bool has_it =
            image && database::is_visible(*image, holder(request, services, database::Feature::images));
        if (has_it && services.pools->has_image(pool, name)) return image_volume(*image);
    }
    if (type == "custom") {
        const auto volume = services.database->volumes().find(pool, name);
        if (volume) return custom_volume(request, *volume, instances::VolumeUserIndex(*services.database));
    }
    return std::nullopt;
}

Handled volumes_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const std::string pool, require_pool(request, services));
    const auto arg = request.args.find("type");
    const std::string type = arg == request.args.end() ? std::string() : arg->second;
    if (!type.empty()) LX_CO_TRY(check_volume_type(type));
    auto read = [request, &services, pool, type]() -> Result<nlohmann::json> {
        return volumes_of(request, services, pool, type);
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(auto objects, co_await std::move(pending));
    co_return list_response(request, std::move(objects),
                            [pool](const nlohmann::json& volume) { return url_of_volume(pool, volume); });
}

Handled volume_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const std::string pool, require_pool(request, services));
    LX_CO_TRY(check_volume_type(request.path_arg("type")));
    auto read = [request, &services]() -> Result<api::StorageVolume> {
        auto found = find_volume(request, services);
        if (!found) return fail(Status::not_found, "Storage volume not found");
        return *std::move(found);
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto volume, co_await std::move(pending));
    co_return Response::sync(api::to_json(volume)).with_etag(etag_of(api::etag_fields(volume)));
}

/// What the driver knows it by; looked up once, as a deletion may come at any time.
Result<storage::Volume> stored_volume(const Services& services, const std::string& type,
                                      const std::string& pool, const std::string& name) {
    if (type == "image") return storage::Volume{storage::VolumeType::image, name};
    if (type != "custom") return storage::Volume{storage::VolumeType::container, name};
    failpoint("rest.volume_state.found");
    const auto row = services.database->volumes().find(pool, name);
    if (!row) return fail(Status::not_found, "Storage volume not found");
    return storage::Volume{storage::VolumeType::custom, row->volume};
}

Handled volume_state(const Request& request, Services& services) {
    LX_CO_TRY_AS(const std::string pool, require_pool(request, services));
    LX_CO_TRY(check_volume_type(request.path_arg("type")));
    auto read = [request, &services, pool, type = request.path_arg("type"),
                 name = request.path_arg("name")]() -> Result<nlohmann::json> {
        if (!find_volume(request, services)) return fail(Status::not_found, "Storage volume not found");
        LX_TRY_AS(const storage::Volume volume, stored_volume(services, type, pool, name));
        LX_TRY_AS(const instances::DriverPtr driver, services.pools->driver(pool));
        LX_TRY_AS(const auto used, driver->usage_bytes(volume));
        LX_TRY_AS(const auto total, driver->volume_limit(volume));
        return nlohmann::json{{"usage", {{"used", used}, {"total", total}}}};
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto state, co_await std::move(pending));
    co_return Response::sync(state);
}

Handled import_volume(const Request& request, Services& services, std::string pool) {
    if (request.header("x-lxd-type").value_or("backup") != "backup")
        co_return fail(Status::bad_request, "Only backups can be imported as storage volumes");
    instances::BackupUpload upload;
    upload.name = request.header("x-lxd-name").value_or("");
    upload.pool = std::move(pool);
    upload.project = holder(request, services, database::Feature::volumes);
    auto import = [&services, requestor = request.requestor_json](const instances::BackupUpload& sent) {
        return services.instances->backups().import_volume(sent, requestor);
    };
    auto pending = take_backup(request, services, std::move(upload), std::move(import));
    co_return co_await std::move(pending);
}

// Wire: client-wire-notes, "storage": what LXD 5.0.2 does at once is done at return, 200 also for a new
// volume.
Handled volumes_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const std::string pool, require_pool(request, services));
    if (request.incoming != nullptr) {
        auto pending = import_volume(request, services, pool);
        co_return co_await std::move(pending);
    }
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_storage_volumes_post(body));
    const auto type = request.args.find("type");
    if (type != request.args.end()) {
        LX_CO_TRY(check_volume_type(type->second));
        if (post.type.empty()) post.type = type->second;
        if (post.type != type->second)
            co_return fail(Status::bad_request, "The type in the body is not that of the URL");
    }
    post.in_project = request.project;
    LX_CO_TRY(check_other_project(request, services, post.source.project));
    auto& volumes = services.instances->volumes();
    if (post.source.type == "migration") {
        auto receiving = receive_volume_from_server(request, services, pool, std::move(post), body);
        co_return co_await std::move(receiving);
    }
    if (post.source.type == "copy") {
        LX_CO_TRY_AS(const auto operation, volumes.copy(pool, post, request.requestor_json));
        co_return Response::operation(*operation);
    }
    auto create = [&volumes, pool, post, requestor = request.requestor_json] {
        return volumes.create(pool, post, requestor);
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Result<> check_volume_etag(const Request& request, const database::VolumeRecord& row) {
    api::StorageVolume volume;
    volume.name = api::plain_name(row.name);
    volume.type = "custom";
    volume.config = row.config;
    volume.description = row.description;
    return check_etag(request, etag_of(api::etag_fields(volume)));
}

Handled change_volume(const Request& request, Services& services, api::StorageVolumePut put) {
    LX_CO_TRY_AS(const auto name, require_custom(request, services));
    auto work = [&services, name, put, requestor = request.requestor_json] {
        return services.instances->volumes().update(name, put, requestor);
    };
    auto pending = on_worker(services, std::move(work));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled volume_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto row, require_row(request, services));
    LX_CO_TRY(check_volume_etag(request, *row));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto put, api::parse_storage_volume_put(body));
    auto pending = change_volume(request, services, put);
    co_return co_await std::move(pending);
}

Handled volume_patch(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto row, require_row(request, services));
    LX_CO_TRY(check_volume_etag(request, *row));
    LX_CO_TRY_AS(const auto body, request.json());
    api::StorageVolumePut current{row->description, row->config, ""};
    LX_CO_TRY_AS(const auto put, api::patch_storage_volume(body, std::move(current)));
    auto pending = change_volume(request, services, put);
    co_return co_await std::move(pending);
}

Handled volume_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto row, require_row(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto post, api::parse_storage_volume_post(body));
    const instances::VolumeName from{row->pool, row->name, request.project};
    if (post.migration) {
        auto sending = send_volume_to_server(request, services, from, !post.volume_only, body);
        co_return co_await std::move(sending);
    }
    LX_CO_TRY(check_other_project(request, services, post.project));
    const std::string project = api::split_object_key(from.name).project;
    const std::string new_project =
        post.project.empty() ? project
                             : services.database->projects().holder(database::Feature::volumes, post.project);
    if (!sees(request, new_project))
        co_return fail(Status::forbidden, "not authorized: volumes there are of another project");
    const bool stays = (post.pool.empty() || post.pool == from.pool) && new_project == project;
    if (!stays) {
        const std::string name = post.name.empty() ? api::plain_name(from.name) : post.name;
        const instances::VolumeName to{post.pool.empty() ? from.pool : post.pool,
                                       api::object_key(new_project, name), request.project};
        LX_CO_TRY_AS(const auto operation,
                     services.instances->volumes().move(from, to, !post.volume_only, request.requestor_json));
        co_return Response::operation(*operation);
    }
    if (post.name.empty()) co_return fail(Status::bad_request, "No name provided");
    auto work = [&services, from, to = post.name, requestor = request.requestor_json] {
        return services.instances->volumes().rename(from, to, requestor);
    };
    auto pending = on_worker(services, std::move(work));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::created(
        api::public_url(instances::volume_url({from.pool, api::object_key(project, post.name)})));
}

Handled volume_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto name, require_custom(request, services));
    auto work = [&services, name, requestor = request.requestor_json] {
        return services.instances->volumes().remove(name, requestor);
    };
    auto pending = on_worker(services, std::move(work));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

constexpr Route kStorageVolumesRoutes[] = {
    {Verb::get, "/1.0/storage-pools/{pool}/volumes", Access::can_view, volumes_get},
    {Verb::post, "/1.0/storage-pools/{pool}/volumes", Access::can_edit, volumes_post, Body::backup},
    {Verb::get, "/1.0/storage-pools/{pool}/volumes/{type}", Access::can_view, volumes_get},
    {Verb::post, "/1.0/storage-pools/{pool}/volumes/{type}", Access::can_edit, volumes_post, Body::backup},
    {Verb::get, "/1.0/storage-pools/{pool}/volumes/{type}/{name}", Access::can_view, volume_get},
    {Verb::put, "/1.0/storage-pools/{pool}/volumes/{type}/{name}", Access::can_edit, volume_put},
    {Verb::patch, "/1.0/storage-pools/{pool}/volumes/{type}/{name}", Access::can_edit, volume_patch},
    {Verb::post, "/1.0/storage-pools/{pool}/volumes/{type}/{name}", Access::can_edit, volume_post},
    {Verb::del, "/1.0/storage-pools/{pool}/volumes/{type}/{name}", Access::can_edit, volume_delete},
    {Verb::get, "/1.0/storage-pools/{pool}/volumes/{type}/{name}/state", Access::can_view, volume_state},
};

}  // namespace

std::span<const Route> storage_volume_routes() { return kStorageVolumesRoutes; }

}  // namespace lxmgr::rest
