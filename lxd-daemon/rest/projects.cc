#include "lxd-daemon/rest/projects.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/project.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/project_restrictions.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/admission.h"
#include "lxd-daemon/rest/https/https.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"
#include "lxd-daemon/rest/visible.h"
#include "profiles/config_keys.h"

// Wire: client-wire-notes, "projects" (sync but for the rename).
namespace lxmgr::rest {
namespace {

constexpr std::string_view kDefaultName = "default";

std::string url_of_project(const std::string& name) { return url_of({"projects", name}); }

api::Project project_view(const database::ProjectRecord& record, const Services& services) {
    return {record.name, record.description, record.config, services.database->projects().used_by(record)};
}

/// One that the caller may not see is not there for it.
Result<database::ProjectPtr> require_project(const Request& request, const Services& services) {
    const std::string& name = request.path_arg("name");
    auto found = services.database->projects().find(name);
    if (!found || !sees(request, name)) return fail(Status::not_found, "Project not found");
    return found;
}

void publish(Services& services, const std::string& requestor, const std::string& action,
             const std::string& name, const std::string& context = "") {
    events::publish_lifecycle(services.hub, action, url_of_project(name), context, requestor, name);
}

/// Networks are shared; only "default" has them as its own.
Result<> check_config(const Services& services, const std::string& name, const api::ConfigMap& config) {
    LX_TRY(profiles::validate_project_config(config));
    for (const auto& [key, value] : config) {
        const auto pool = instances::pool_limited_by(key);
        if (pool && !services.database->pools().find(*pool))
            return fail(Status::bad_request,
                        fmt::format("\"{}\" limits storage pool '{}', which there is not", key, *pool));
    }
    const auto networks = config.find("features.networks");
    if (name != kDefaultName && networks != config.end() && profiles::parse_bool(networks->second))
        return fail(Status::bad_request,
                    "features.networks is not supported: networks are shared by all projects here");
    return {};
}

/// Its features are what projects without them use.
Result<> check_features(const database::ProjectRecord& before, const api::ConfigMap& config) {
    if (before.name != kDefaultName) return {};
    for (const auto& [key, value] : before.config) {
        const auto next = config.find(key);
        if (key.starts_with("features.") && (next == config.end() || next->second != value))
            return fail(Status::bad_request, "You can't change the features of the default project");
    }
    return {};
}

Handled projects_get(const Request& request, Services& services) {
    auto objects = nlohmann::json::array();
    for (const auto& record : services.database->projects().list()) {
        if (sees(request, record->name)) objects.push_back(api::to_json(project_view(*record, services)));
    }
    co_return list_response(request, std::move(objects),
                            [](const nlohmann::json& object) { return url_of_project(object.at("name")); });
}

Handled project_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_project(request, services));
    const auto project = project_view(*record, services);
    co_return Response::sync(api::to_json(project)).with_etag(etag_of(api::etag_fields(project)));
}

Handled projects_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_projects_post(body));
    LX_CO_TRY(profiles::validate_project_name(post.name));
    post.fields.config = database::new_project_config(std::move(post.fields.config));
    LX_CO_TRY(check_config(services, post.name, post.fields.config));
    auto create = [&services, post] {
        return services.database->projects().create(
            {0, post.name, post.fields.description, post.fields.config});
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    publish(services, request.requestor_json, "project-created", post.name);
    co_return Response::created(url_of_project(post.name));
}

Handled replace_project(const Request& request, Services& services, database::ProjectPtr before,
                        api::ProjectPut fields) {
    LX_CO_TRY(check_config(services, before->name, fields.config));
    LX_CO_TRY(check_features(*before, fields.config));
    database::ProjectRecord next = *before;
    next.description = fields.description;
    next.config = fields.config;
    auto change = [&services, next] { return services.instances->update_project(next); };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    publish(services, request.requestor_json, "project-updated", before->name);
    co_return Response::empty();
}

Result<> check_project_etag(const Request& request, const database::ProjectRecord& record) {
    const api::Project shown{record.name, record.description, record.config, {}};
    return check_etag(request, etag_of(api::etag_fields(shown)));
}

Handled project_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(auto record, require_project(request, services));
    LX_CO_TRY(check_project_etag(request, *record));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto fields, api::parse_project_put(body));
    auto pending = replace_project(request, services, std::move(record), std::move(fields));
    co_return co_await std::move(pending);
}

Handled project_patch(const Request& request, Services& services) {
    LX_CO_TRY_AS(auto record, require_project(request, services));
    LX_CO_TRY(check_project_etag(request, *record));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto fields, api::patch_project(body, {record->description, record->config}));
    auto pending = replace_project(request, services, std::move(record), std::move(fields));
    co_return co_await std::move(pending);
}

/// Certificates that are restricted to the project, among others.
std::vector<std::string> clients_of(const Services& services, const std::string& project) {
    std::vector<std::string> out;
    for (const auto& certificate : services.database->certificates().list()) {
        if (std::ranges::find(certificate->projects, project) != certificate->projects.end())
            out.push_back(certificate->fingerprint);
    }
    return out;
}

/// What was begun with rights in a project that is no longer there must end. On the I/O thread.
void end_connections(const Services& services, const std::vector<std::string>& clients) {
    if (services.https == nullptr) return;
    for (const auto& fingerprint : clients) services.https->drop(fingerprint, nullptr);
}

/// Tokens that were made for it. On the I/O thread.
void tell_admission(const Services& services, const std::string& name, const std::string& new_name) {
    if (services.admission != nullptr) services.admission->project_changed(name, new_name);
}

Handled project_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_project(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto new_name, api::parse_rename(body));
    if (record->name == kDefaultName)
        co_return fail(Status::forbidden, "The 'default' project cannot be renamed");
    LX_CO_TRY(profiles::validate_project_name(new_name));
    if (services.database->projects().find(new_name))
        co_return fail(Status::conflict, fmt::format("A project named '{}' already exists", new_name));
    if (!services.database->projects().is_empty(*record))
        co_return fail(Status::bad_request, "Only empty projects can be renamed");
    operations::Request wanted;
    wanted.description = "Renaming project";
    wanted.requestor = request.requestor_json;
    wanted.project.clear();  // of the server: who renames listens to another project
    wanted.locks = {"project:" + record->name};
    wanted.body = [&services, name = record->name, new_name](operations::Operation& operation,
                                                             std::stop_token) -> Result<nlohmann::json> {
        const auto clients = clients_of(services, name);
        LX_TRY(services.database->projects().rename(name, new_name));
        boost::asio::post(services.io, [&services, clients, name, new_name] {
            end_connections(services, clients);
            tell_admission(services, name, new_name);
        });
        publish(services, operation.requestor(), "project-renamed", new_name,
                nlohmann::json{{"old_name", name}}.dump());
        return nullptr;
    };
    LX_CO_TRY_AS(const auto operation, services.operations.start(std::move(wanted)));
    co_return Response::operation(*operation);
}

Handled project_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_project(request, services));
    if (record->name == kDefaultName)
        co_return fail(Status::forbidden, "The 'default' project cannot be deleted");
    auto remove = [&services, record]() -> Result<std::vector<std::string>> {
        auto clients = clients_of(services, record->name);
        LX_TRY(services.database->projects().remove(record->name));
        return clients;
    };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY_AS(const auto clients, co_await std::move(pending));
    end_connections(services, clients);
    tell_admission(services, record->name, "");
    publish(services, request.requestor_json, "project-deleted", record->name);
    co_return Response::empty();
}

Handled project_state(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record, require_project(request, services));
    co_return Response::sync(api::to_json(services.instances->project_state(*record)));
}

constexpr Route kProjectsRoutes[] = {
    {Verb::get, "/1.0/projects", Access::authenticated, projects_get},
    {Verb::post, "/1.0/projects", Access::admin, projects_post},
    {Verb::get, "/1.0/projects/{name}", Access::authenticated, project_get},
    {Verb::put, "/1.0/projects/{name}", Access::admin, project_put},
    {Verb::patch, "/1.0/projects/{name}", Access::admin, project_patch},
    {Verb::post, "/1.0/projects/{name}", Access::admin, project_post},
    {Verb::del, "/1.0/projects/{name}", Access::admin, project_delete},
    {Verb::get, "/1.0/projects/{name}/state", Access::authenticated, project_state},
};

}  // namespace

std::span<const Route> project_routes() { return kProjectsRoutes; }

}  // namespace lxmgr::rest
