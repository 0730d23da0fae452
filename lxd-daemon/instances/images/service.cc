#include "lxd-daemon/instances/images/service.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "images/architecture.h"
#include "images/sha256.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/image_store.h"
#include "lxd-daemon/instances/images/publish.h"
#include "lxd-daemon/instances/images/push.h"
#include "lxd-daemon/instances/images/remote.h"
#include "lxd-daemon/instances/images/upkeep.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/steps.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

Result<> check_aliases(const Context& context, const api::ImagesPost& post) {
    for (const auto& alias : post.aliases) {
        LX_TRY(profiles::validate_alias_name(alias.name));
        const auto key = api::alias_key(image_project(context, post.in_project), alias.name);
        if (context.deps.database.images().find_alias(key))
            return fail(Status::conflict, fmt::format("Image alias '{}' already exists", alias.name));
    }
    return {};
}

RemoteImage remote_of(const Context& context, const api::ImagesPost& post) {
    RemoteImage out;
    out.source = {post.source.server, post.source.protocol.empty() ? "lxd" : post.source.protocol,
                  post.source.certificate, name_on_server(post.source)};
    out.secret = post.source.secret;
    out.project = post.source.project;
    out.architecture = default_architecture(context);
    out.auto_update = post.fields.auto_update;
    out.may_be_local = post.by_admin;
    out.is_public = post.fields.is_public;
    out.properties = post.fields.properties;
    out.filename = post.filename;
    out.profiles = image_profiles(context, post);
    out.projects = {image_project(context, post.in_project)};
    out.aliases = image_aliases(image_project(context, post.in_project), post.aliases);
    return out;
}

nlohmann::json outcome_of(const database::ImageRecord& image) {
    return {{"fingerprint", image.fingerprint}, {"size", std::to_string(image.size_bytes)}};
}

}  // namespace

Result<operations::OperationPtr> ImageService::create(api::ImagesPost post, const std::string& requestor) {
    LX_TRY(check_aliases(context_, post));
    if (post.source.type == "image") return fetch(std::move(post), requestor);
    const std::string& type = post.source.type;
    if (type == "url") {
        post.source.protocol = "direct";
        post.source.server = post.source.url;
        post.source.alias = post.source.url;
        if (post.fields.auto_update)
            return fail(Status::bad_request, "auto_update is not possible: a URL is of one image");
        return fetch(std::move(post), requestor);
    }
    if (type == "instance" || type == "container" || type == "snapshot")
        return publish(std::move(post), requestor);
    if (post.source.type.empty()) return fail(Status::bad_request, "The image's source type is missing");
    return fail(Status::bad_request,
                fmt::format("Image source '{}' is not supported by this server (yet): upload the image",
                            post.source.type));
}

Result<operations::OperationPtr> ImageService::refresh(const std::string& fingerprint,
                                                       const std::string& requestor,
                                                       const std::string& project) {
    const auto image = context_.deps.database.images().find(fingerprint);
    if (!image) return fail(Status::not_found, "Image not found");
    if (!image->source)
        return fail(Status::bad_request, "The image was not fetched: it has no source to be refreshed from");
    auto request = refresh_request(context_, fingerprint, requestor);
    request.project = project;
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> ImageService::push(const database::ImagePtr& image,
                                                    api::ImageExportPost post, const std::string& requestor,
                                                    const std::string& project) {
    LX_TRY(check_push(post));
    operations::Request request;
    request.project = project;
    request.description = "Exporting image";
    request.resources = {{"images", {image->fingerprint}}};
    request.requestor = requestor;
    request.may_cancel = true;
    request.body = [this, image, post = std::move(post)](operations::Operation& operation,
                                                         std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY(send_image(context_, *image, post, operation, std::move(stop)));
        return nlohmann::json(nullptr);
    };
    return context_.deps.operations.start(std::move(request));
}

Result<> ImageService::check_offer(const api::ImagesPost& post) const {
    if (!images::is_sha256(post.source.fingerprint))
        return fail(Status::bad_request, "To have an image pushed, name its whole fingerprint");
    const auto here = context_.deps.database.images().find(post.source.fingerprint);
    if (here && database::is_visible(*here, image_project(context_, post.in_project)))
        return fail(Status::bad_request, "Image with same fingerprint already exists");
    if (post.fields.auto_update)
        return fail(Status::bad_request,
                    "auto_update is not possible: an image that is pushed has no source");
    return check_aliases(context_, post);
}

void ImageService::changed() { context_.snapshot_timer.poke(); }

Result<operations::OperationPtr> ImageService::publish(api::ImagesPost post, const std::string& requestor) {
    LX_TRY_AS(auto plan, plan_publish(context_, std::move(post)));
    operations::Request request = request_for("Creating image", plan.instance, requestor);
    request.may_cancel = true;
    request.body = [this, plan = std::move(plan)](operations::Operation& operation,
                                                  std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY_AS(const auto image, publish_image(context_, plan, operation, stop));
        return outcome_of(*image);
    };
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> ImageService::fetch(api::ImagesPost post, const std::string& requestor) {
    if (!post.source.mode.empty() && post.source.mode != "pull")
        return fail(Status::bad_request,
                    fmt::format("Image mode '{}' is not supported: only pull", post.source.mode));
    if (!post.source.image_type.empty() && post.source.image_type != "container")
        return fail(Status::bad_request, "Images of virtual machines are not supported");
    RemoteImage wanted = remote_of(context_, post);
    LX_TRY(check_remote(wanted));
    LX_TRY(check_server_allowed(context_, post.in_project, post.source.server));
    operations::Request request;
    request.description = "Downloading image";
    request.project = post.in_project;
    request.requestor = requestor;
    request.may_cancel = true;
    request.body = [this, wanted = std::move(wanted)](operations::Operation& operation,
                                                      std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY_AS(const auto image, fetch_image(context_, wanted, operation, std::move(stop)));
        return outcome_of(*image);
    };
    return context_.deps.operations.start(std::move(request));
}

}  // namespace lxmgr::instances
