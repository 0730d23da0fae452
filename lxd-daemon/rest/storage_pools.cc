#include <algorithm>

#include "lxd-daemon/api/storage_pool.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/pools.h"
#include "lxd-daemon/instances/project_restrictions.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/projects.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"

// Wire: client-wire-notes, "storage" (pools; all sync). What uses a pool is found on disk too, so reads are
// on workers.
namespace lxmgr::rest {
namespace {

std::string url_of_pool(const std::string& name) { return url_of({"storage-pools", name}); }

api::StoragePool pool_view(const database::PoolRecord& record, const instances::Pools& pools) {
    return {record.name, record.driver, record.description, record.config, pools.used_by(record.name)};
}

/// limits.disk.pool.POOL=0 of the project asked for.
bool is_shown_pool(const Request& request, const Services& services, const std::string& pool) {
    const auto project = services.database->projects().find(project_asked_for(request));
    return !project || instances::shows_pool(*project, pool);
}

Result<database::PoolPtr> require_pool_record(const Request& request, const Services& services) {
    LX_TRY(check_project(request));
    auto found = services.database->pools().find(request.path_arg("pool"));
    if (!found || !is_shown_pool(request, services, found->name))
        return fail(Status::not_found, "Storage pool not found");
    return found;
}

Handled pools_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto read = [&services]() -> Result<nlohmann::json> {
        auto objects = nlohmann::json::array();
        for (const auto& record : services.database->pools().list()) {
            objects.push_back(api::to_json(pool_view(*record, *services.pools)));
        }
        return objects;
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(auto objects, co_await std::move(pending));
    objects.erase(std::remove_if(objects.begin(), objects.end(),
                                 [&](const nlohmann::json& object) {
                                     return !is_shown_pool(request, services, object.at("name"));
                                 }),
                  objects.end());
    for (auto& object : objects) hide_users(request, object);
    co_return list_response(request, std::move(objects),
                            [](const nlohmann::json& object) { return url_of_pool(object.at("name")); });
}

Handled pool_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_pool_record(request, services));
    auto read = [&services, record]() -> Result<nlohmann::json> {
        return api::to_json(pool_view(*record, *services.pools));
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(auto object, co_await std::move(pending));
    hide_users(request, object);
    co_return Response::sync(object);
}

Handled pools_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto post, api::parse_storage_pools_post(body));
    auto create = [&services, post] {
        return services.pools->create(
            {0, post.name, post.driver, post.fields.description, post.fields.config});
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    const std::string url = url_of_pool(post.name);
    publish_lifecycle(services, request.requestor_json, "storage-pool-created", url);
    co_return Response::created(url);
}

Result<> replace_pool(Services& services, const database::PoolRecord& record,
                      const api::StoragePoolPut& fields, const std::string& requestor) {
    database::PoolRecord next = record;
    next.description = fields.description;
    next.config = fields.config;
    LX_TRY(services.pools->update(next));
    publish_lifecycle(services, requestor, "storage-pool-updated", url_of_pool(record.name));
    return {};
}

Result<> check_pool_etag(const Request& request, const database::PoolRecord& record) {
    const api::StoragePool pool{record.name, record.driver, record.description, record.config, {}};
    return check_etag(request, etag_of(api::etag_fields(pool)));
}

Handled pool_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_pool_record(request, services));
    LX_CO_TRY(check_pool_etag(request, *record));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto fields, api::parse_storage_pool_put(body));
    auto change = [&services, record, fields, requestor = request.requestor_json] {
        return replace_pool(services, *record, fields, requestor);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled pool_patch(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_pool_record(request, services));
    LX_CO_TRY(check_pool_etag(request, *record));
    LX_CO_TRY_AS(const auto body, request.json());
    api::StoragePoolPut current{record->description, record->config};
    LX_CO_TRY_AS(const auto fields, api::patch_storage_pool(body, std::move(current)));
    auto change = [&services, record, fields, requestor = request.requestor_json] {
        return replace_pool(services, *record, fields, requestor);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled pool_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_pool_record(request, services));
    auto remove = [&services, record] { return services.pools->remove(record->name); };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "storage-pool-deleted", url_of_pool(record->name));
    co_return Response::empty();
}

Handled pool_resources(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_pool_record(request, services));
    auto read = [&services, record]() -> Result<api::StoragePoolResources> {
        LX_TRY_AS(const instances::DriverPtr driver, services.pools->driver(record->name));
        LX_TRY_AS(const auto space, driver->space());
        return api::StoragePoolResources{space.used_bytes, space.total_bytes, space.used_inodes,
                                         space.total_inodes};
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto resources, co_await std::move(pending));
    co_return Response::sync(api::to_json(resources));
}

constexpr Route kStoragePoolsRoutes[] = {
    {Verb::get, "/1.0/storage-pools", Access::can_view, pools_get},
    {Verb::post, "/1.0/storage-pools", Access::admin, pools_post},
    {Verb::get, "/1.0/storage-pools/{pool}", Access::can_view, pool_get},
    {Verb::put, "/1.0/storage-pools/{pool}", Access::admin, pool_put},
    {Verb::patch, "/1.0/storage-pools/{pool}", Access::admin, pool_patch},
    {Verb::del, "/1.0/storage-pools/{pool}", Access::admin, pool_delete},
    {Verb::get, "/1.0/storage-pools/{pool}/resources", Access::can_view, pool_resources},
};

}  // namespace

std::span<const Route> storage_pool_routes() { return kStoragePoolsRoutes; }

}  // namespace lxmgr::rest
