#include <fmt/format.h>

#include "lxd-daemon/api/image.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/image_export.h"
#include "lxd-daemon/instances/image_store.h"
#include "lxd-daemon/instances/images/service.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/rest/image_upload.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"
#include "lxd-daemon/rest/visible.h"
#include "profiles/config_keys.h"

// Wire: client-wire-notes, "images". Upload and deletion are operations, the rest is sync.
namespace lxmgr::rest {
namespace {

std::string url_of_image(const std::string& fingerprint) { return url_of({"images", fingerprint}); }

api::Image image_view(const database::ImageRecord& record, const std::vector<database::AliasPtr>& aliases) {
    api::Image out;
    out.auto_update = record.auto_update;
    out.is_public = record.is_public;
    out.cached = record.cached;
    out.properties = record.properties;
    out.profiles = record.profiles;
    for (const auto& alias : aliases) {
        if (alias->target == record.fingerprint) out.aliases.push_back({alias->name, alias->description});
    }
    out.architecture = record.architecture;
    out.filename = record.filename;
    out.fingerprint = record.fingerprint;
    out.size_bytes = record.size_bytes;
    out.type = record.type;
    out.created_at = record.created_at;
    out.expires_at = record.expires_at;
    out.last_used_at = record.last_used_at;
    out.uploaded_at = record.uploaded_at;
    if (const auto& source = record.source)
        out.update_source = {source->alias, source->certificate, source->protocol, source->server};
    return out;
}

/// By fingerprint or a unique beginning of it.
Result<database::ImagePtr> require_image(const Request& request, const Services& services) {
    LX_TRY(check_project(request));
    auto found = services.database->images().find_prefix(request.path_arg("fingerprint"));
    const bool visible = found ? sees_image(request, (*found)->is_public) : sees_image(request, false);
    if (!visible) return fail(Status::not_found, "Image not found");
    return found;
}

instances::ImageStore store_of(Services& services) {
    return {*services.database, *services.pools, services.root};
}

Handled images_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const auto aliases = services.database->images().list_aliases();
    auto objects = nlohmann::json::array();
    for (const auto& record : services.database->images().list()) {
        if (!sees_image(request, record->is_public)) continue;
        objects.push_back(api::to_json(image_view(*record, aliases)));
    }
    co_return list_response(request, std::move(objects), [](const nlohmann::json& object) {
        return url_of_image(object.at("fingerprint"));
    });
}

Handled image_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    const api::Image image = image_view(*record, services.database->images().list_aliases());
    co_return Response::sync(api::to_json(image)).with_etag(etag_of(api::etag_fields(image)));
}

/// A JSON body asks for an image from elsewhere.
Handled create_from_elsewhere(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_images_post(body));
    auto create = [&services, post = std::move(post), requestor = request.requestor_json] {
        return services.instances->images().create(post, requestor);
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY_AS(const auto operation, co_await std::move(pending));
    co_return Response::operation(*operation);
}

operations::Request import_request(Services& services, const Request& request,
                                   instances::ImageUpload upload) {
    operations::Request out;
    out.description = "Downloading image";  // LXD's word for an upload, too
    out.locks = {instances::ImageStore::kImageLock};
    out.requestor = request.requestor_json;
    out.may_cancel = true;
    // The files live as long as the body does.
    out.body = [&services, upload = std::move(upload), files = request.files](
                   operations::Operation& operation, std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY_AS(const auto image, store_of(services).import(upload, stop));
        publish_lifecycle(services, operation.requestor(), "image-created", url_of_image(image->fingerprint),
                          {{"type", image->type}});
        return nlohmann::json{{"fingerprint", image->fingerprint},
                              {"size", std::to_string(image->size_bytes)}};
    };
    return out;
}

Handled images_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    if (request.files.empty()) {
        auto pending = create_from_elsewhere(request, services);
        co_return co_await std::move(pending);
    }
    LX_CO_TRY_AS(auto upload, read_image_upload(request));
    auto wanted = import_request(services, request, std::move(upload));
    LX_CO_TRY_AS(const auto operation, services.operations.start(std::move(wanted)));
    co_return Response::operation(*operation);
}

Result<> replace_image(Services& services, const database::ImageRecord& record, const api::ImagePut& fields,
                       const std::string& requestor) {
    // They become image.* keys of instances.
    api::ConfigMap keys;
    for (const auto& [key, value] : fields.properties) keys.emplace("image." + key, value);
    LX_TRY(profiles::validate_instance_config(keys, false));
    if (fields.auto_update && !record.source) {
        return fail(Status::bad_request,
                    "auto_update is not possible: the image was uploaded, it has no source");
    }
    database::ImageRecord next = record;
    next.auto_update = fields.auto_update;
    next.is_public = fields.is_public;
    next.properties = fields.properties;
    next.expires_at = fields.expires_at;
    next.profiles = fields.profiles;
    LX_TRY(services.database->images().update(next));
    publish_lifecycle(services, requestor, "image-updated", url_of_image(record.fingerprint));
    if (services.instances != nullptr) services.instances->images().changed();
    return {};
}

Result<> check_image_etag(const Request& request, const database::ImageRecord& record) {
    return check_etag(request, etag_of(api::etag_fields(image_view(record, {}))));
}

Handled image_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    LX_CO_TRY(check_image_etag(request, *record));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto fields, api::parse_image_put(body));
    auto change = [&services, record, fields, requestor = request.requestor_json] {
        return replace_image(services, *record, fields, requestor);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled image_patch(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    LX_CO_TRY(check_image_etag(request, *record));
    LX_CO_TRY_AS(const auto body, request.json());
    api::ImagePut current{record->auto_update, record->is_public, record->properties, record->expires_at,
                          record->profiles};
    LX_CO_TRY_AS(const auto fields, api::patch_image(body, std::move(current)));
    auto change = [&services, record, fields, requestor = request.requestor_json] {
        return replace_image(services, *record, fields, requestor);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled image_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    operations::Request wanted;
    wanted.description = "Deleting image";
    wanted.resources = {{"images", {record->fingerprint}}};
    wanted.locks = {instances::ImageStore::kImageLock};
    wanted.requestor = request.requestor_json;
    wanted.body = [&services, fingerprint = record->fingerprint](operations::Operation& operation,
                                                                 std::stop_token) -> Result<nlohmann::json> {
        LX_TRY(store_of(services).remove(fingerprint));
        publish_lifecycle(services, operation.requestor(), "image-deleted", url_of_image(fingerprint));
        return nullptr;
    };
    LX_CO_TRY_AS(const auto operation, services.operations.start(std::move(wanted)));
    co_return Response::operation(*operation);
}

Handled image_export(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    auto open = [&services, record] {
        return instances::open_image_export(record->fingerprint, store_of(services).files_of(*record),
                                            services.root + "/tmp");
    };
    auto pending = on_worker(services, std::move(open));
    LX_CO_TRY_AS(auto opened, co_await std::move(pending));
    auto response = Response::stream(std::move(opened.fd), opened.size_bytes, opened.content_type);
    if (!opened.filename.empty()) {
        response = std::move(response).with_header("Content-Disposition",
                                                   fmt::format("attachment;filename={}", opened.filename));
    }
    co_return response;
}

Handled image_refresh(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    if (!record->source) {
        co_return fail(Status::bad_request,
                       "The image was not fetched: it has no source to be refreshed from");
    }
    LX_CO_TRY_AS(const auto operation,
                 services.instances->images().refresh(record->fingerprint, request.requestor_json));
    co_return Response::operation(*operation);
}

constexpr Route kImagesRoutes[] = {
    {Verb::get, "/1.0/images", Access::anyone, images_get},
    {Verb::post, "/1.0/images", Access::can_edit, images_post, Body::file},
    {Verb::get, "/1.0/images/{fingerprint}", Access::anyone, image_get},
    {Verb::put, "/1.0/images/{fingerprint}", Access::can_edit, image_put},
    {Verb::patch, "/1.0/images/{fingerprint}", Access::can_edit, image_patch},
    {Verb::del, "/1.0/images/{fingerprint}", Access::can_edit, image_delete},
    {Verb::get, "/1.0/images/{fingerprint}/export", Access::anyone, image_export},
    {Verb::post, "/1.0/images/{fingerprint}/refresh", Access::can_edit, image_refresh},
};

}  // namespace

std::span<const Route> image_routes() { return kImagesRoutes; }

}  // namespace lxmgr::rest
