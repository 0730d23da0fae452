#include <algorithm>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/api/warning.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"

// Wire: client-wire-notes, "warning list/show/ack/delete" (all sync).
namespace lxmgr::rest {
namespace {

constexpr int kNew = 1, kAcknowledged = 2;

const char* severity_text(int severity) {
    if (severity <= 1) return "low";
    return severity == 2 ? "moderate" : "high";
}

const char* status_text(int status) {
    if (status == kNew) return "new";
    return status == kAcknowledged ? "acknowledged" : "resolved";
}

api::Warning warning_view(const database::WarningRecord& record) {
    api::Warning out;
    out.uuid = record.uuid;
    out.type = record.type;
    auto entity = api::split_url(record.entity_url);
    out.project = entity.project == api::kDefaultProject ? record.project : entity.project;
    out.entity_url = std::move(entity.url);
    out.last_message = record.last_message;
    out.severity = severity_text(record.severity);
    out.status = status_text(record.status);
    out.count = record.count;
    out.first_seen_at = record.first_seen_at;
    out.last_seen_at = record.last_seen_at;
    return out;
}

std::string url_of_warning(const std::string& uuid) { return url_of({"warnings", uuid}); }

Result<nlohmann::json> find_warning(Services& services, const std::string& uuid) {
    LX_TRY_AS(const auto records, services.database->warnings().list());
    const auto found = std::ranges::find(records, uuid, &database::WarningRecord::uuid);
    if (found == records.end()) return fail(Status::not_found, "Warning not found");
    return api::to_json(warning_view(*found));
}

Handled warnings_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const std::string wanted = request.query_or("project", "");
    auto read = [&services, wanted]() -> Result<nlohmann::json> {
        LX_TRY_AS(const auto records, services.database->warnings().list());
        auto out = nlohmann::json::array();
        for (const auto& record : records) {
            auto shown = api::to_json(warning_view(record));
            if (wanted.empty() || shown.at("project") == wanted) out.push_back(std::move(shown));
        }
        return out;
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(auto objects, co_await std::move(pending));
    co_return list_response(request, std::move(objects),
                            [](const nlohmann::json& object) { return url_of_warning(object.at("uuid")); });
}

Handled warning_get(const Request& request, Services& services) {
    auto read = [&services, uuid = request.path_arg("uuid")] { return find_warning(services, uuid); };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto object, co_await std::move(pending));
    co_return Response::sync(object);
}

Handled warning_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const std::string status, api::parse_warning_put(body));
    auto change = [&services, status, uuid = request.path_arg("uuid")] {
        return services.database->warnings().set_status(uuid, status == "new" ? kNew : kAcknowledged);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    const std::string action = status == "new" ? "warning-reset" : "warning-acknowledged";
    publish_lifecycle(services, request.requestor_json, action, url_of_warning(request.path_arg("uuid")));
    co_return Response::empty();
}

Handled warning_delete(const Request& request, Services& services) {
    auto remove = [&services, uuid = request.path_arg("uuid")] {
        return services.database->warnings().remove(uuid);
    };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "warning-deleted",
                      url_of_warning(request.path_arg("uuid")));
    co_return Response::empty();
}

constexpr Route kWarningsRoutes[] = {
    {Verb::get, "/1.0/warnings", Access::admin, warnings_get},
    {Verb::get, "/1.0/warnings/{uuid}", Access::admin, warning_get},
    {Verb::put, "/1.0/warnings/{uuid}", Access::admin, warning_put},
    {Verb::patch, "/1.0/warnings/{uuid}", Access::admin, warning_put},
    {Verb::del, "/1.0/warnings/{uuid}", Access::admin, warning_delete},
};

}  // namespace

std::span<const Route> warning_routes() { return kWarningsRoutes; }

}  // namespace lxmgr::rest
