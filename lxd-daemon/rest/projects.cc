#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/visible.h"

namespace lxmgr::rest {
namespace {

/// The one project there is.
api::Project default_project(Services& services) {
    api::Project project;
    project.name = "default";
    project.description = "Default LXD project";
    for (const char* feature : {"images", "networks", "profiles", "storage.volumes"}) {
        project.config[std::string("features.") + feature] = "true";
    }
    auto& database = *services.database;
    for (const auto& instance : database.instances().list())
        project.used_by.push_back("/1.0/instances/" + instance->name);
    for (const auto& image : database.images().list())
        project.used_by.push_back("/1.0/images/" + image->fingerprint);
    for (const auto& profile : database.profiles().list())
        project.used_by.push_back("/1.0/profiles/" + profile->name);
    return project;
}

Handled projects_get(const Request& request, Services& services) {
    if (!sees(request, "default")) co_return Response::sync(nlohmann::json::array());
    if (request.recursion() == 0) co_return Response::sync({"/1.0/projects/default"});
    nlohmann::json list = nlohmann::json::array();
    list.push_back(api::to_json(default_project(services)));
    co_return Response::sync(list);
}

Handled project_get(const Request& request, Services& services) {
    if (request.path_arg("name") != "default" || !sees(request, "default"))
        co_return fail(Status::not_found, "Project not found");
    const auto project = default_project(services);
    co_return Response::sync(api::to_json(project)).with_etag(etag_of(api::etag_fields(project)));
}

constexpr Route kProjectsRoutes[] = {
    {Verb::get, "/1.0/projects", Access::authenticated, projects_get},
    {Verb::get, "/1.0/projects/{name}", Access::authenticated, project_get},
};

}  // namespace

std::span<const Route> project_routes() { return kProjectsRoutes; }

}  // namespace lxmgr::rest
