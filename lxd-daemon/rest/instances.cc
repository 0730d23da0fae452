#include <nlohmann/json.hpp>

#include "lxd-daemon/api/backup.h"
#include "lxd-daemon/api/instance.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/instances/backups/service.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/backup_upload.h"
#include "lxd-daemon/rest/migration.h"
#include "lxd-daemon/rest/projects.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/visible.h"

namespace lxmgr::rest {
namespace {

/// LXD shows the names that were asked for: /1.0/containers lists /1.0/containers/NAME.
std::string url_of(const Request& request, const std::string& key) {
    return api::public_url((request.old_names ? "/1.0/containers/" : "/1.0/instances/") + key);
}

bool is_shown(const Request& request, const database::InstanceRecord& record) {
    if (!request.all_projects) return api::is_of_project(record.name, request.project);
    return sees(request, api::split_instance_key(record.name).project);
}

/// JSON text: null for none, as LXD shows them inside an instance.
std::string backups_json(instances::Service& instances, const std::string& name) {
    const auto rows = instances.backups().list(name);
    if (!rows || rows->empty()) return "null";
    auto out = nlohmann::json::array();
    for (const auto& row : *rows)
        out.push_back(api::to_json(
            api::InstanceBackup{row->name, row->created_at, row->expires_at, row->without_snapshots}));
    return out.dump();
}

/// recursion=2: state is read from the kernel, so on a worker. An instance that goes away meanwhile is left
/// out.
Result<std::string> list_with_state(instances::Service& instances, const Request& request) {
    std::string text = "[";
    for (const auto& record : instances.list()) {
        if (!is_shown(request, *record)) continue;
        const auto state = instances.state(record->name);
        if (!state && instances.find(record->name)) return std::unexpected(state.error());
        if (!state) continue;
        if (text.size() > 1) text += ',';
        const auto snapshots =
            instances.snapshots(record->name).value_or(std::vector<api::InstanceSnapshot>{});
        text += api::to_full_json_text(instances.view(*record), *state, api::to_json_text(snapshots),
                                       backups_json(instances, record->name));
    }
    return text + "]";
}

nlohmann::json urls(const Request& request, const instances::Service& instances) {
    nlohmann::json out = nlohmann::json::array();
    for (const auto& record : instances.list()) {
        if (is_shown(request, *record)) out.push_back(url_of(request, record->name));
    }
    return out;
}

/// The kept text of one project; that of all is made anew.
std::string plain_list(const instances::Service& instances, const Request& request) {
    if (!request.all_projects) return *instances.list_json(request.project);
    std::string text = "[";
    for (const auto& record : instances.list()) {
        if (!is_shown(request, *record)) continue;
        if (text.size() > 1) text += ',';
        text += api::to_json_text(instances.view(*record));
    }
    return text + "]";
}

/// Filters whole objects, then shows what was asked for.
Result<Response> filtered(const Request& request, const std::string& filter, const std::string& objects) {
    LX_TRY_AS(auto kept, apply_filter(filter, nlohmann::json::parse(objects)));
    if (request.recursion() > 0) return Response::sync(kept);
    nlohmann::json names = nlohmann::json::array();
    for (const auto& object : kept)
        names.push_back(url_of(request, api::instance_key(object.at("project").get<std::string>(),
                                                          object.at("name").get<std::string>())));
    return Response::sync(names);
}

// Wire: client-wire-notes, "list" (sync).
Handled instances_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto& instances = *services.instances;
    const std::string type = request.query_or("instance-type", "");
    if (type == "virtual-machine") co_return Response::sync(nlohmann::json::array());
    if (!type.empty() && type != "container")
        co_return fail(Status::bad_request,
                       fmt::format("'{}' is no instance type: container or virtual-machine", type));
    const std::string filter = request.query_or("filter", "");
    const int recursion = request.recursion();
    if (recursion < 2 && filter.empty()) {
        if (recursion == 0) co_return Response::sync(urls(request, instances));
        if (request.all_projects) co_return Response::sync_text(plain_list(instances, request));
        co_return Response::sync_text(*instances.list_json(request.project));
    }
    auto list = [&instances, recursion, request]() -> Result<std::string> {
        if (recursion < 2) return plain_list(instances, request);
        return list_with_state(instances, request);
    };
    auto pending = on_worker(services, std::move(list));
    LX_CO_TRY_AS(const std::string text, co_await std::move(pending));
    if (filter.empty()) co_return Response::sync_text(text);
    co_return filtered(request, filter, text);
}

/// Wire: client-wire-notes, "export / import".
Handled import_instance(const Request& request, Services& services) {
    for (const char* header : {"x-lxd-config", "x-lxd-devices", "x-lxd-profiles"}) {
        if (request.header(header))
            co_return fail(
                Status::bad_request,
                "Changing config, devices or profiles while a backup is imported is not supported");
    }
    instances::BackupUpload upload;
    upload.name = request.header("x-lxd-name").value_or("");
    upload.pool = request.header("x-lxd-pool").value_or("");
    upload.project = request.project;
    auto import = [&services, requestor = request.requestor_json](const instances::BackupUpload& sent) {
        return services.instances->backups().import(sent, requestor);
    };
    auto pending = take_backup(request, services, std::move(upload), std::move(import));
    co_return co_await std::move(pending);
}

Handled instances_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    if (request.incoming != nullptr) {
        auto pending = import_instance(request, services);
        co_return co_await std::move(pending);
    }
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_instances_post(body));
    post.in_project = request.project;
    post.source.by_admin = request.identity.is_admin();
    if (post.source.type == "copy") LX_CO_TRY(check_other_project(request, services, post.source.project));
    if (post.source.type == "migration") {
        auto receiving = receive_from_server(request, services, std::move(post), body);
        co_return co_await std::move(receiving);
    }
    auto create = [&services, post = std::move(post), requestor = request.requestor_json] {
        return services.instances->create(post, requestor);
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY_AS(const auto operation, co_await std::move(pending));
    co_return Response::operation(*operation);
}

/// Bulk change of state: every instance of the project.
Handled instances_put(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto put, api::parse_instances_put(body));
    LX_CO_TRY_AS(const auto operation, services.instances->change_state_of_all(
                                           request.project, std::move(put), request.requestor_json));
    co_return Response::operation(*operation);
}

Handled instance_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto& instances = *services.instances;
    LX_CO_TRY_AS(const auto record, instances.require(request.path_arg("name")));
    const api::Instance instance = instances.view(*record);
    const std::string etag = etag_of(api::etag_fields(instance));
    if (request.recursion() == 0) co_return Response::sync_text(api::to_json_text(instance)).with_etag(etag);
    auto read = [&instances, name = record->name] { return instances.state(name); };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto state, co_await std::move(pending));
    LX_CO_TRY_AS(const auto snapshots, instances.snapshots(record->name));
    const std::string text = api::to_full_json_text(instance, state, api::to_json_text(snapshots),
                                                    backups_json(instances, record->name));
    co_return Response::sync_text(text).with_etag(etag);
}

Result<> check_instance_etag(const Request& request, const instances::Service& instances) {
    LX_TRY_AS(const auto record, instances.require(request.path_arg("name")));
    if (request.if_match().empty()) return {};
    return check_etag(request, etag_of(api::etag_fields(instances.view(*record))));
}

/// If-Match once more when the change's turn has come.
instances::Unchanged unchanged(const Request& request, Services& services) {
    const std::string wanted = request.if_match();
    if (wanted.empty()) return nullptr;
    return [wanted, &services](const database::InstanceRecord& record) {
        return check_match(wanted, etag_of(api::etag_fields(services.instances->view(record))));
    };
}

Handled instance_put(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY(check_instance_etag(request, *services.instances));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto put, api::parse_instance_put(body));
    LX_CO_TRY_AS(const auto operation, services.instances->update(request.path_arg("name"), std::move(put),
                                                                  request.requestor_json));
    co_return Response::operation(*operation);
}

Handled instance_patch(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY(check_instance_etag(request, *services.instances));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto patch, api::parse_instance_patch(body));
    auto change = [&services, patch, name = request.path_arg("name"), requestor = request.requestor_json,
                   check = unchanged(request, services)] {
        return services.instances->patch(name, patch, requestor, check);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled instance_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_instance_post(body));
    const bool to_project = !post.project.empty() && post.project != request.project;
    if (post.has_target || (post.migration && post.pool.empty() && !to_project)) {
        instances::MigrationSubject subject{request.path_arg("name"), "", !post.instance_only, post.live};
        auto sending = send_to_server(request, services, std::move(subject), body);
        co_return co_await std::move(sending);
    }
    LX_CO_TRY(check_other_project(request, services, post.project));
    const std::string& key = request.path_arg("name");
    const std::string name(post.name.empty() ? api::instance_name(key) : post.name);
    post.name = api::instance_key(to_project ? post.project : request.project, name);
    if (!post.pool.empty() || to_project) {
        LX_CO_TRY_AS(const auto moving, services.instances->move(key, post, request.requestor_json));
        co_return Response::operation(*moving);
    }
    LX_CO_TRY_AS(const auto operation, services.instances->rename(key, post.name, request.requestor_json));
    co_return Response::operation(*operation);
}

Handled instance_delete(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto operation,
                 services.instances->remove(request.path_arg("name"), request.requestor_json));
    co_return Response::operation(*operation);
}

constexpr Route kInstancesRoutes[] = {
    {Verb::get, "/1.0/instances", Access::can_view, instances_get},
    {Verb::post, "/1.0/instances", Access::can_edit, instances_post, Body::backup},
    {Verb::put, "/1.0/instances", Access::can_edit, instances_put},
    {Verb::get, "/1.0/instances/{name}", Access::can_view, instance_get},
    {Verb::put, "/1.0/instances/{name}", Access::can_edit, instance_put},
    {Verb::patch, "/1.0/instances/{name}", Access::can_edit, instance_patch},
    {Verb::post, "/1.0/instances/{name}", Access::can_edit, instance_post},
    {Verb::del, "/1.0/instances/{name}", Access::can_edit, instance_delete},
};

}  // namespace

std::span<const Route> instance_routes() { return kInstancesRoutes; }

}  // namespace lxmgr::rest
