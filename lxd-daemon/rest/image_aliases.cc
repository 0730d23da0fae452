#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/image_alias.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/projects.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"
#include "lxd-daemon/rest/visible.h"
#include "profiles/config_keys.h"

// Wire: client-wire-notes, "images" (aliases; all sync).
namespace lxmgr::rest {
namespace {

std::string url_of_alias(const std::string& key) {
    const auto [project, name] = api::split_alias_key(key);
    return api::with_project(url_of({"images", "aliases", name}), project);
}

api::ImageAlias alias_view(const database::AliasRecord& record) {
    return {api::split_alias_key(record.name).name, record.description, record.target, record.type};
}

bool is_visible_alias(const Request& request, const Services& services, const database::AliasRecord& alias) {
    if (sees_image(request, false)) return true;
    const auto image = services.database->images().find(alias.target);
    return image && image->is_public;
}

Result<database::AliasPtr> require_alias(const Request& request, const Services& services) {
    LX_TRY(check_project(request));
    auto found = services.database->images().find_alias(request.path_arg("name"));
    if (!found || !is_visible_alias(request, services, *found))
        return fail(Status::not_found, "Image alias not found");
    return found;
}

/// Clients should send the whole fingerprint; a unique beginning of it is as clear.
Result<std::string> resolve_target(const Request& request, const Services& services,
                                   const std::string& target) {
    const std::string project = holder(request, services, database::Feature::images);
    LX_TRY_AS(const auto image, services.database->images().find_prefix(target, project));
    return image->fingerprint;
}

Handled aliases_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const std::string own = holder(request, services, database::Feature::images);
    auto objects = nlohmann::json::array();
    for (const auto& record : services.database->images().list_aliases()) {
        if (api::split_alias_key(record->name).project != own) continue;
        if (!is_visible_alias(request, services, *record)) continue;
        objects.push_back(api::to_json(alias_view(*record)));
    }
    co_return list_response(request, std::move(objects), [&own](const nlohmann::json& object) {
        return url_of_alias(api::alias_key(own, object.at("name").get<std::string>()));
    });
}

Handled alias_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_alias(request, services));
    const api::ImageAlias alias = alias_view(*record);
    co_return Response::sync(api::to_json(alias)).with_etag(etag_of(api::etag_fields(alias)));
}

Handled aliases_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto alias, api::parse_aliases_post(body));
    LX_CO_TRY(profiles::validate_alias_name(alias.name));
    alias.name = api::alias_key(holder(request, services, database::Feature::images), alias.name);
    LX_CO_TRY_AS(const std::string target, resolve_target(request, services, alias.target));
    auto create = [&services, alias, target]() -> Result<database::AliasPtr> {
        return services.database->images().create_alias(
            {0, alias.name, alias.description, target, alias.type});
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    const std::string url = url_of_alias(alias.name);
    publish_lifecycle(services, request.requestor_json, "image-alias-created", url, {{"target", target}});
    co_return Response::created(url);
}

/// PUT and PATCH: both replace what the body gives.
Handled alias_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_alias(request, services));
    LX_CO_TRY(check_etag(request, etag_of(api::etag_fields(alias_view(*record)))));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto alias, api::parse_alias_put(body, alias_view(*record)));
    LX_CO_TRY_AS(const std::string target, resolve_target(request, services, alias.target));
    database::AliasRecord next = *record;
    next.description = alias.description;
    next.target = target;
    auto change = [&services, next] { return services.database->images().update_alias(next); };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "image-alias-updated", url_of_alias(record->name));
    co_return Response::empty();
}

Handled alias_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_alias(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const std::string new_name, api::parse_rename(body));
    LX_CO_TRY(profiles::validate_alias_name(new_name));
    database::AliasRecord next = *record;
    next.name = api::alias_key(api::split_alias_key(record->name).project, new_name);
    auto rename = [&services, next] { return services.database->images().update_alias(next); };
    auto pending = on_worker(services, std::move(rename));
    LX_CO_TRY(co_await std::move(pending));
    const std::string url = url_of_alias(next.name);
    publish_lifecycle(services, request.requestor_json, "image-alias-renamed", url,
                      {{"old_name", api::split_alias_key(record->name).name}});
    co_return Response::created(url);
}

Handled alias_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_alias(request, services));
    auto remove = [&services, record] { return services.database->images().remove_alias(record->name); };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "image-alias-deleted", url_of_alias(record->name));
    co_return Response::empty();
}

constexpr Route kImageAliasesRoutes[] = {
    {Verb::get, "/1.0/images/aliases", Access::anyone, aliases_get},
    {Verb::post, "/1.0/images/aliases", Access::can_edit, aliases_post},
    {Verb::get, "/1.0/images/aliases/{name...}", Access::anyone, alias_get},
    {Verb::put, "/1.0/images/aliases/{name...}", Access::can_edit, alias_put},
    {Verb::patch, "/1.0/images/aliases/{name...}", Access::can_edit, alias_put},
    {Verb::post, "/1.0/images/aliases/{name...}", Access::can_edit, alias_post},
    {Verb::del, "/1.0/images/aliases/{name...}", Access::can_edit, alias_delete},
};

}  // namespace

std::span<const Route> image_alias_routes() { return kImageAliasesRoutes; }

}  // namespace lxmgr::rest
