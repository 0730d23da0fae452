#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/profile.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/projects.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"
#include "profiles/config_keys.h"

// Wire: client-wire-notes, "profiles" (all sync). Reads are from memory and stay on the I/O thread.
namespace lxmgr::rest {
namespace {

constexpr std::string_view kDefault = "default";

bool is_default(const database::ProfileRecord& record) { return api::plain_name(record.name) == kDefault; }

std::string url_of_profile(const std::string& key) { return url_of({"profiles", key}); }

api::Profile profile_view(const Request& request, const database::ProfileRecord& record,
                          const std::vector<database::InstancePtr>& instances) {
    api::Profile out{api::plain_name(record.name), record.description, record.config, record.devices, {}};
    for (const auto& instance : instances) {
        if (std::ranges::find(instance->profiles, record.name) == instance->profiles.end()) continue;
        out.used_by.push_back(url_of({"instances", instance->name}));
    }
    out.used_by = visible_users(request, out.used_by);
    return out;
}

Result<database::ProfilePtr> require_profile(const Request& request, const Services& services) {
    LX_TRY(check_project(request));
    auto found = services.database->profiles().find(request.path_arg("name"));
    if (!found) return fail(Status::not_found, "Profile not found");
    return found;
}

/// Networks and pools that devices name have to be there, as in LXD: else who uses the profile would meet it.
Result<> check_references(const Services& services, const api::DeviceMap& devices) {
    for (const auto& [name, device] : devices) {
        const auto network = api::value_of(device, "network");
        if (!network.empty() && !services.database->networks().find(network))
            return fail(Status::bad_request,
                        fmt::format("Device '{}': network '{}' not found", name, network));
        const auto pool = api::value_of(device, "pool");
        if (!pool.empty() && !services.database->pools().find(pool))
            return fail(Status::bad_request,
                        fmt::format("Device '{}': storage pool '{}' not found", name, pool));
    }
    return {};
}

Result<> validate(const Services& services, const api::ProfilePut& fields) {
    LX_TRY(profiles::validate_instance_config(fields.config, false));
    for (const auto& [key, value] : fields.config) {
        if (key.starts_with("image."))
            return fail(Status::bad_request,
                        fmt::format("Key '{}': image keys can only be set on instances", key));
    }
    LX_TRY(profiles::validate_devices(fields.devices, false));
    return check_references(services, fields.devices);
}

Handled profiles_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const auto instances = services.database->instances().list();
    const std::string own = holder(request, services, database::Feature::profiles);
    auto objects = nlohmann::json::array();
    for (const auto& record : services.database->profiles().list()) {
        const std::string project = api::split_object_key(record->name).project;
        if (!lists(request, own, project)) continue;
        objects.push_back(api::to_json(profile_view(request, *record, instances)));
        if (request.all_projects) objects.back()["project"] = project;
    }
    co_return list_response(request, std::move(objects), [&own](const nlohmann::json& object) {
        return url_of_profile(
            api::object_key(object.value("project", own), object.at("name").get<std::string>()));
    });
}

Handled profile_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_profile(request, services));
    const api::Profile profile = profile_view(request, *record, services.database->instances().list());
    co_return Response::sync(api::to_json(profile)).with_etag(etag_of(api::etag_fields(profile)));
}

Handled profiles_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_profiles_post(body));
    LX_CO_TRY(profiles::validate_profile_name(post.name));
    LX_CO_TRY(validate(services, post.fields));
    post.name = api::object_key(holder(request, services, database::Feature::profiles), post.name);
    auto create = [&services, post]() -> Result<database::ProfilePtr> {
        const database::ProfileRecord record{0, post.name, post.fields.description, post.fields.config,
                                             post.fields.devices};
        if (services.instances != nullptr) LX_TRY(services.instances->check_profile(record));
        return services.database->profiles().create(record);
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    const std::string url = url_of_profile(post.name);
    publish_lifecycle(services, request.requestor_json, "profile-created", url);
    co_return Response::created(url);
}

using FieldsOf = std::function<Result<api::ProfilePut>(const database::ProfileRecord&)>;

/// Running instances get the new profile at once, or it stays as it was. What it is to be follows from what
/// it is when its turn has come.
Result<> replace_profile(Services& services, const std::string& name, const std::string& requestor,
                         const FieldsOf& fields_of) {
    const auto change = [&](const database::ProfileRecord& record) -> Result<database::ProfileRecord> {
        LX_TRY_AS(auto fields, fields_of(record));
        LX_TRY(validate(services, fields));
        database::ProfileRecord next = record;
        next.description = std::move(fields.description);
        next.config = std::move(fields.config);
        next.devices = std::move(fields.devices);
        return next;
    };
    LX_TRY(services.instances->update_profile(name, change, requestor));
    publish_lifecycle(services, requestor, "profile-updated", url_of_profile(name));
    return {};
}

std::string etag_of_profile(const database::ProfileRecord& record) {
    return etag_of(api::etag_fields(
        api::Profile{api::plain_name(record.name), record.description, record.config, record.devices, {}}));
}

Handled change_profile(const Request& request, Services& services, FieldsOf fields_of) {
    LX_CO_TRY_AS(const auto record, require_profile(request, services));
    LX_CO_TRY(check_etag(request, etag_of_profile(*record)));
    auto checked = [wanted = request.if_match(), fields_of = std::move(fields_of)](
                       const database::ProfileRecord& now) -> Result<api::ProfilePut> {
        LX_TRY(check_match(wanted, etag_of_profile(now)));
        return fields_of(now);
    };
    auto change = [&services, name = record->name, requestor = request.requestor_json,
                   checked = std::move(checked)] {
        return replace_profile(services, name, requestor, checked);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled profile_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto fields, api::parse_profile_put(body));
    auto changing =
        change_profile(request, services, [fields](const database::ProfileRecord&) { return fields; });
    co_return co_await std::move(changing);
}

Handled profile_patch(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto body, request.json());
    auto merge = [body](const database::ProfileRecord& now) {
        return api::patch_profile(body, {now.description, now.config, now.devices});
    };
    auto changing = change_profile(request, services, std::move(merge));
    co_return co_await std::move(changing);
}

Handled profile_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_profile(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto new_name, api::parse_rename(body));
    if (is_default(*record)) {
        co_return fail(Status::forbidden, "The 'default' profile cannot be renamed");
    }
    LX_CO_TRY(profiles::validate_profile_name(new_name));
    new_name = api::object_key(api::split_object_key(record->name).project, new_name);
    auto rename = [&services, record, new_name] {
        return services.database->profiles().rename(record->name, new_name);
    };
    auto pending = on_worker(services, std::move(rename));
    LX_CO_TRY(co_await std::move(pending));
    const std::string url = url_of_profile(new_name);
    publish_lifecycle(services, request.requestor_json, "profile-renamed", url,
                      {{"old_name", api::plain_name(record->name)}});
    co_return Response::created(url);
}

Handled profile_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_profile(request, services));
    if (is_default(*record)) {
        co_return fail(Status::forbidden, "The 'default' profile cannot be deleted");
    }
    auto remove = [&services, record] { return services.database->profiles().remove(record->name); };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "profile-deleted", url_of_profile(record->name));
    co_return Response::empty();
}

constexpr Route kProfilesRoutes[] = {
    {Verb::get, "/1.0/profiles", Access::can_view, profiles_get},
    {Verb::post, "/1.0/profiles", Access::can_edit, profiles_post},
    {Verb::get, "/1.0/profiles/{name}", Access::can_view, profile_get},
    {Verb::put, "/1.0/profiles/{name}", Access::can_edit, profile_put},
    {Verb::patch, "/1.0/profiles/{name}", Access::can_edit, profile_patch},
    {Verb::post, "/1.0/profiles/{name}", Access::can_edit, profile_post},
    {Verb::del, "/1.0/profiles/{name}", Access::can_edit, profile_delete},
};

}  // namespace

std::span<const Route> profile_routes() { return kProfilesRoutes; }

}  // namespace lxmgr::rest
