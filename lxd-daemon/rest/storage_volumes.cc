#include <fmt/format.h>

#include <optional>

#include "lxd-daemon/api/storage_volume.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/pools.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"

// The volumes of instances and images, as GET .../storage-pools/POOL/volumes shows them. They have no rows of
// their own: a container volume is its instance's, an image volume is there when the image was unpacked in
// the pool.
namespace lxmgr::rest {
namespace {

api::StorageVolume container_volume(const database::InstanceRecord& instance) {
    api::StorageVolume out;
    out.name = instance.name;
    out.type = "container";
    out.used_by = {url_of({"instances", instance.name})};
    out.created_at = instance.created_at;
    return out;
}

api::StorageVolume image_volume(const database::ImageRecord& image) {
    api::StorageVolume out;
    out.name = image.fingerprint;
    out.type = "image";
    out.used_by = {url_of({"images", image.fingerprint})};
    out.created_at = image.uploaded_at;
    return out;
}

Result<> check_type(const std::string& type) {
    for (const char* known : {"container", "image", "custom", "virtual-machine"}) {
        if (type == known) return {};
    }
    return fail(Status::bad_request, fmt::format("Invalid storage volume type \"{}\"", type));
}

Result<std::string> require_pool(const Request& request, const Services& services) {
    LX_TRY(check_project(request));
    const std::string& name = request.path_arg("pool");
    if (!services.database->pools().find(name)) return fail(Status::not_found, "Storage pool not found");
    return name;
}

/// Blocking: looks for images on disk. An empty type: all.
nlohmann::json volumes_of(const Services& services, const std::string& pool, const std::string& type) {
    auto out = nlohmann::json::array();
    if (type.empty() || type == "container") {
        for (const auto& instance : services.database->instances().list()) {
            if (instance->pool == pool) out.push_back(api::to_json(container_volume(*instance)));
        }
    }
    if (type.empty() || type == "image") {
        for (const auto& image : services.database->images().list()) {
            if (services.pools->has_image(pool, image->fingerprint))
                out.push_back(api::to_json(image_volume(*image)));
        }
    }
    return out;
}

std::optional<api::StorageVolume> find_volume(const Services& services, const std::string& pool,
                                              const std::string& type, const std::string& name) {
    if (type == "container") {
        const auto instance = services.database->instances().find(name);
        if (instance && instance->pool == pool) return container_volume(*instance);
    }
    if (type == "image") {
        const auto image = services.database->images().find(name);
        if (image && services.pools->has_image(pool, name)) return image_volume(*image);
    }
    return std::nullopt;
}

Handled volumes_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const std::string pool, require_pool(request, services));
    const auto arg = request.args.find("type");
    const std::string type = arg == request.args.end() ? std::string() : arg->second;
    if (!type.empty()) LX_CO_TRY(check_type(type));
    auto read = [&services, pool, type]() -> Result<nlohmann::json> {
        return volumes_of(services, pool, type);
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(auto objects, co_await std::move(pending));
    co_return list_response(request, std::move(objects), [pool](const nlohmann::json& volume) {
        return url_of({"storage-pools", pool, "volumes", volume.at("type").get<std::string>(),
                       volume.at("name").get<std::string>()});
    });
}

Handled volume_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const std::string pool, require_pool(request, services));
    LX_CO_TRY(check_type(request.path_arg("type")));
    auto read = [&services, pool, type = request.path_arg("type"),
                 name = request.path_arg("name")]() -> Result<api::StorageVolume> {
        auto found = find_volume(services, pool, type, name);
        if (!found) return fail(Status::not_found, "Storage volume not found");
        return *std::move(found);
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto volume, co_await std::move(pending));
    co_return Response::sync(api::to_json(volume)).with_etag(etag_of(api::etag_fields(volume)));
}

Handled volume_state(const Request& request, Services& services) {
    LX_CO_TRY_AS(const std::string pool, require_pool(request, services));
    LX_CO_TRY(check_type(request.path_arg("type")));
    auto read = [&services, pool, type = request.path_arg("type"),
                 name = request.path_arg("name")]() -> Result<nlohmann::json> {
        if (!find_volume(services, pool, type, name))
            return fail(Status::not_found, "Storage volume not found");
        const auto kind = type == "image" ? storage::VolumeType::image : storage::VolumeType::container;
        LX_TRY_AS(storage::Driver * driver, services.pools->driver(pool));
        LX_TRY_AS(const auto used, driver->usage_bytes({kind, name}));
        return nlohmann::json{{"usage", {{"used", used}, {"total", 0}}}};
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto state, co_await std::move(pending));
    co_return Response::sync(state);
}

constexpr Route kRoutes[] = {
    {Verb::get, "/1.0/storage-pools/{pool}/volumes", Access::can_view, volumes_get},
    {Verb::get, "/1.0/storage-pools/{pool}/volumes/{type}", Access::can_view, volumes_get},
    {Verb::get, "/1.0/storage-pools/{pool}/volumes/{type}/{name}", Access::can_view, volume_get},
    {Verb::get, "/1.0/storage-pools/{pool}/volumes/{type}/{name}/state", Access::can_view, volume_state},
};

}  // namespace

std::span<const Route> storage_volume_routes() { return kRoutes; }

}  // namespace lxmgr::rest
