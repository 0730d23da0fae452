#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/api/image.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/image_export.h"
#include "lxd-daemon/instances/image_store.h"
#include "lxd-daemon/instances/images/service.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/rest/image_tokens.h"
#include "lxd-daemon/rest/image_upload.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/projects.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"
#include "lxd-daemon/rest/visible.h"

// Wire: client-wire-notes, "images". Upload and deletion are operations, the rest is sync.
namespace lxmgr::rest {
namespace {

std::string url_of_image(const std::string& fingerprint, const std::string& project = "default") {
    return api::with_project(url_of({"images", fingerprint}), project);
}

std::string image_project(const Request& request, const Services& services) {
    return holder(request, services, database::Feature::images);
}

/// As a project has it.
api::Image image_view(const database::ImageRecord& record, const std::string& project,
                      const std::vector<database::AliasPtr>& aliases) {
    api::Image out;
    out.auto_update = record.auto_update;
    out.is_public = record.is_public;
    out.cached = record.cached;
    out.properties = record.properties;
    out.profiles = api::plain_names(record.profiles);
    for (const auto& alias : aliases) {
        const auto named = api::split_alias_key(alias->name);
        if (alias->target == record.fingerprint && named.project == project)
            out.aliases.push_back({named.name, alias->description});
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

/// The token of ?secret= that opens an image to who would not see it; null: none does.
operations::OperationPtr opening_token(const Request& request, const Services& services,
                                       const database::ImageRecord& image) {
    if (sees_image(request, image.is_public)) return nullptr;
    return find_image_token(services.operations, ImageToken::download, image.fingerprint,
                            request.query_or("secret", ""));
}

/// By fingerprint or a unique beginning of it.
Result<database::ImagePtr> require_image(const Request& request, const Services& services) {
    LX_TRY(check_project(request));
    auto found = services.database->images().find_prefix(request.path_arg("fingerprint"),
                                                         image_project(request, services));
    const bool visible = found ? sees_image(request, (*found)->is_public) : sees_image(request, false);
    if (visible || (found && opening_token(request, services, **found))) return found;
    return fail(Status::not_found, "Image not found");
}

instances::ImageStore store_of(Services& services) { return {*services.database, *services.pools}; }

Handled images_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const auto aliases = services.database->images().list_aliases();
    const std::string own = image_project(request, services);
    auto objects = nlohmann::json::array();
    for (const auto& record : services.database->images().list()) {
        for (const auto& project : record->projects) {
            const bool visible = request.all_projects ? record->is_public || sees(request, project)
                                                      : sees_image(request, record->is_public);
            if (!visible || (!request.all_projects && project != own)) continue;
            objects.push_back(api::to_json(image_view(*record, project, aliases)));
            if (request.all_projects) objects.back()["project"] = project;
        }
    }
    co_return list_response(request, std::move(objects), [&own](const nlohmann::json& object) {
        return url_of_image(object.at("fingerprint"), object.value("project", own));
    });
}

Handled image_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    const api::Image image =
        image_view(*record, image_project(request, services), services.database->images().list_aliases());
    co_return Response::sync(api::to_json(image)).with_etag(etag_of(api::etag_fields(image)));
}

/// Another server will bring the image, with the secret of the operation.
Result<Response> wait_for_push(const Request& request, Services& services, const api::ImagesPost& post) {
    LX_TRY(services.instances->images().check_offer(post));
    LX_TRY_AS(const auto operation,
              offer_image(services.operations, ImageToken::upload, post.source.fingerprint,
                          api::description_json(post), request.requestor_json, request.project));
    return Response::operation(*operation);
}

/// A JSON body asks for an image from elsewhere.
Handled create_from_elsewhere(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_images_post(body));
    post.in_project = request.project;
    post.by_admin = request.identity.is_admin();
    if (post.source.mode == "push") co_return wait_for_push(request, services, post);
    auto create = [&services, post = std::move(post), requestor = request.requestor_json] {
        return services.instances->images().create(post, requestor);
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY_AS(const auto operation, co_await std::move(pending));
    co_return Response::operation(*operation);
}

/// What is said of an image that is brought with a token, which is used up: only who waits for it decides.
Result<api::ImagesPost> take_offer(const operations::OperationPtr& token, instances::ImageUpload& upload) {
    const auto shown = token->to_json();
    LX_TRY_AS(auto offered, api::parse_images_post(shown.at("metadata")));
    upload.expected_fingerprint = shown.at("metadata").at("fingerprint");
    upload.is_public = offered.fields.is_public;
    upload.properties = offered.fields.properties;
    upload.expires_at = offered.fields.expires_at;
    upload.profiles = offered.fields.profiles;
    if (upload.profiles.empty()) upload.profiles.emplace_back("default");
    offered.in_project = token->project();
    if (!offered.filename.empty()) upload.filename = offered.filename;
    token->finish(nlohmann::json(nullptr));
    return offered;
}

/// @param offered  says which aliases it gets, and in which project
operations::Request import_request(Services& services, const Request& request, instances::ImageUpload upload,
                                   const api::ImagesPost& offered) {
    const auto& projects = services.database->projects();
    const std::string project = projects.holder(database::Feature::images, offered.in_project);
    upload.projects = {project};
    upload.aliases = instances::image_aliases(project, offered.aliases);
    upload.profiles =
        api::object_keys(projects.holder(database::Feature::profiles, offered.in_project), upload.profiles);
    operations::Request out;
    out.project = offered.in_project;
    out.description = "Downloading image";  // LXD's word for an upload, too
    out.locks = {instances::ImageStore::kImageLock};
    out.requestor = request.requestor_json;
    out.may_cancel = true;
    // The files live as long as the body does.
    out.body = [&services, upload = std::move(upload), files = request.files, project](
                   operations::Operation& operation, std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY_AS(const auto image, store_of(services).import(upload, stop));
        publish_lifecycle(services, operation.requestor(), "image-created",
                          url_of_image(image->fingerprint, project), {{"type", image->type}});
        return nlohmann::json{{"fingerprint", image->fingerprint},
                              {"size", std::to_string(image->size_bytes)}};
    };
    return out;
}

Handled images_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const bool trusted = request.identity.may_use(request.project);
    if (request.files.empty()) {
        if (!trusted) co_return fail(Status::forbidden, "not authorized");
        auto pending = create_from_elsewhere(request, services);
        co_return co_await std::move(pending);
    }
    // Found again: another may have used it while the body came.
    const auto token = find_upload_token(services.operations, request);
    if (!trusted && !token) co_return fail(Status::forbidden, "not authorized");
    LX_CO_TRY_AS(auto upload, read_image_upload(request));
    api::ImagesPost offered;
    offered.in_project = request.project;
    if (token) {
        LX_CO_TRY_AS(offered, take_offer(token, upload));
    }
    auto wanted = import_request(services, request, std::move(upload), offered);
    // With it another server, which is not trusted, waits for the end.
    if (token) wanted.metadata = {{"secret", random_hex(32)}};
    LX_CO_TRY_AS(const auto operation, services.operations.start(std::move(wanted)));
    co_return Response::operation(*operation);
}

/// Its properties are one for all projects that have it: who may not use those must not change them.
Result<> check_sharing(const Request& request, const database::ImageRecord& record) {
    for (const auto& project : record.projects) {
        if (!sees(request, project))
            return fail(Status::forbidden, "The image is shared with projects that are not yours");
    }
    return {};
}

Result<> replace_image(Services& services, const database::ImageRecord& record, const api::ImagePut& fields,
                       const std::string& requestor) {
    LX_TRY(instances::check_image_properties(fields.properties));
    const auto here = services.database->images().find(record.fingerprint);
    if (!here || here->projects != record.projects)
        return fail(Status::conflict, "The image was changed meanwhile, try again");
    if (fields.auto_update && !record.source) {
        return fail(Status::bad_request,
                    "auto_update is not possible: the image was uploaded, it has no source");
    }
    database::ImageRecord next = record;
    next.auto_update = fields.auto_update;
    next.is_public = fields.is_public;
    next.properties = fields.properties;
    next.expires_at = fields.expires_at;
    const std::string holder =
        services.database->projects().holder(database::Feature::profiles, record.projects.front());
    const auto same_project = [&](const std::string& name) {
        const auto held = std::ranges::find(record.profiles, name, api::plain_name);
        return held != record.profiles.end() ? *held : api::object_key(holder, name);
    };
    next.profiles.clear();
    std::ranges::transform(fields.profiles, std::back_inserter(next.profiles), same_project);
    LX_TRY(services.database->images().update(next));
    publish_lifecycle(services, requestor, "image-updated",
                      url_of_image(record.fingerprint, record.projects.front()));
    if (services.instances != nullptr) services.instances->images().changed();
    return {};
}

Result<> check_image_etag(const Request& request, const database::ImageRecord& record) {
    return check_etag(request, etag_of(api::etag_fields(image_view(record, request.project, {}))));
}

Handled image_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    LX_CO_TRY(check_image_etag(request, *record));
    LX_CO_TRY(check_sharing(request, *record));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto fields, api::parse_image_put(body, api::plain_names(record->profiles)));
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
    LX_CO_TRY(check_sharing(request, *record));
    LX_CO_TRY_AS(const auto body, request.json());
    api::ImagePut current{record->auto_update, record->is_public, record->properties, record->expires_at,
                          api::plain_names(record->profiles)};
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
    wanted.project = request.project;
    wanted.body = [&services, fingerprint = record->fingerprint, project = image_project(request, services)](
                      operations::Operation& operation, std::stop_token) -> Result<nlohmann::json> {
        LX_TRY(store_of(services).remove(fingerprint, project));
        publish_lifecycle(services, operation.requestor(), "image-deleted",
                          url_of_image(fingerprint, project));
        return nullptr;
    };
    LX_CO_TRY_AS(const auto operation, services.operations.start(std::move(wanted)));
    co_return Response::operation(*operation);
}

Handled image_export(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    auto open = [&services, record] {
        const auto store = store_of(services);
        return instances::open_image_export(record->fingerprint, store.files_of(*record));
    };
    auto pending = on_worker(services, std::move(open));
    LX_CO_TRY_AS(auto opened, co_await std::move(pending));
    if (!sees_image(request, record->is_public)) {
        const auto token = opening_token(request, services, *record);
        if (!token) co_return fail(Status::not_found, "Image not found");
        token->finish(nlohmann::json(nullptr));
    }
    publish_lifecycle(services, request.requestor_json, "image-retrieved",
                      url_of_image(record->fingerprint, record->projects.front()));
    auto response = Response::pieces_of(std::move(opened.pieces), opened.content_type);
    if (!opened.filename.empty()) {
        response = std::move(response).with_header("Content-Disposition",
                                                   fmt::format("attachment;filename={}", opened.filename));
    }
    co_return response;
}

Handled image_refresh(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    LX_CO_TRY(check_sharing(request, *record));
    if (!record->source) {
        co_return fail(Status::bad_request,
                       "The image was not fetched: it has no source to be refreshed from");
    }
    LX_CO_TRY_AS(const auto operation, services.instances->images().refresh(
                                           record->fingerprint, request.requestor_json, request.project));
    co_return Response::operation(*operation);
}

Handled image_secret(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    LX_CO_TRY_AS(const auto operation,
                 offer_image(services.operations, ImageToken::download, record->fingerprint,
                             nlohmann::json::object(), request.requestor_json, request.project));
    co_return Response::operation(*operation);
}

Handled image_push(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_image(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_image_export_post(body));
    post.by_admin = request.identity.is_admin();
    LX_CO_TRY_AS(const auto operation, services.instances->images().push(
                                           record, std::move(post), request.requestor_json, request.project));
    co_return Response::operation(*operation);
}

constexpr Route kImagesRoutes[] = {
    {Verb::get, "/1.0/images", Access::anyone, images_get},
    {Verb::post, "/1.0/images", Access::can_push, images_post, Body::file},
    {Verb::get, "/1.0/images/{fingerprint}", Access::anyone, image_get},
    {Verb::put, "/1.0/images/{fingerprint}", Access::can_edit, image_put},
    {Verb::patch, "/1.0/images/{fingerprint}", Access::can_edit, image_patch},
    {Verb::del, "/1.0/images/{fingerprint}", Access::can_edit, image_delete},
    {Verb::get, "/1.0/images/{fingerprint}/export", Access::anyone, image_export},
    {Verb::post, "/1.0/images/{fingerprint}/export", Access::can_edit, image_push},
    {Verb::post, "/1.0/images/{fingerprint}/refresh", Access::can_edit, image_refresh},
    {Verb::post, "/1.0/images/{fingerprint}/secret", Access::can_edit, image_secret},
};

}  // namespace

std::span<const Route> image_routes() { return kImagesRoutes; }

}  // namespace lxmgr::rest
