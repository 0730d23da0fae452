#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/projects.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/visible.h"
#include "profiles/config_keys.h"

namespace lxmgr::rest {
namespace {

constexpr std::string_view kLists[] = {
    "/1.0/instances",
    "/1.0/images",
    "/1.0/profiles",
    "/1.0/operations",
    "/1.0/storage-pools/{pool}/volumes",
    "/1.0/storage-pools/{pool}/volumes/{type}",
};

/// What the objects at a path are of.
std::optional<database::Feature> feature_of(const Route& route) {
    if (route.pattern.starts_with("/1.0/images")) return database::Feature::images;
    if (route.pattern.starts_with("/1.0/profiles")) return database::Feature::profiles;
    if (route.pattern.starts_with("/1.0/storage-pools/{pool}/volumes")) return database::Feature::volumes;
    return std::nullopt;
}

/// What a project only uses is its holder's to change.
Result<> check_holder(const Request& request, const Route& route, const Services& services) {
    const auto feature = feature_of(route);
    if (!feature || route.verb == Verb::get || route.verb == Verb::head) return {};
    const std::string project = holder(request, services, *feature);
    if (project == request.project || request.identity.who != auth::Who::client || sees(request, project))
        return {};
    return fail(Status::forbidden, "not authorized: project '" + request.project +
                                       "' uses what is of project '" + project + "' and must not change it");
}

/// Clients say ?project= there too, and mean nothing by it.
bool knows_no_projects(const Route& route) {
    return route.access == Access::authenticated || route.access == Access::admin ||
           (route.access == Access::anyone && !route.pattern.starts_with("/1.0/images"));
}

/// To them a project that is not there answers as an empty one: they must not learn which there are.
bool is_stranger(const Request& request, const Route& route) {
    const auth::Who who = request.identity.who;
    return who == auth::Who::untrusted || (who == auth::Who::metrics && route.access != Access::metrics);
}

bool is_beneath(const Route& route, std::string_view pattern) {
    return route.pattern.starts_with(pattern) &&
           (route.pattern.size() == pattern.size() || route.pattern[pattern.size()] == '/');
}

}  // namespace

std::string project_asked_for(const Request& request) {
    auto project = request.query_or("project", "default");
    return project.empty() ? "default" : project;
}

bool asks_for_all_projects(const Request& request, const Route& route) {
    return route.verb == Verb::get && request.query_or("all-projects", "false") == "true" &&
           std::ranges::find(kLists, route.pattern) != std::end(kLists);
}

Result<> enter_project(Request& request, const Route& route, const Services& services) {
    request.all_projects = asks_for_all_projects(request, route);
    if (request.all_projects || services.database == nullptr || !request.guest.empty()) return {};
    const std::string asked = project_asked_for(request);
    if (asked != request.project) {
        if (!services.database->projects().find(asked)) {
            if (knows_no_projects(route)) return {};
            const bool hidden = is_stranger(request, route) && profiles::validate_project_name(asked);
            if (!hidden) return fail(Status::not_found, "Project '" + asked + "' not found");
        }
        request.project = asked;
    }
    LX_TRY(check_holder(request, route, services));
    const auto name = request.args.find("name");
    if (name == request.args.end()) return {};
    if (is_beneath(route, "/1.0/instances/{name}")) {
        name->second = api::instance_key(asked, name->second);
    } else if (is_beneath(route, "/1.0/profiles/{name}")) {
        name->second = api::object_key(holder(request, services, database::Feature::profiles), name->second);
    } else if (is_beneath(route, "/1.0/images/aliases/{name...}")) {
        name->second = api::alias_key(holder(request, services, database::Feature::images), name->second);
    } else if (is_beneath(route, "/1.0/storage-pools/{pool}/volumes/{type}/{name}")) {
        const std::string& type = request.path_arg("type");
        if (type == "container") name->second = api::instance_key(asked, name->second);
        if (type == "custom")
            name->second =
                api::object_key(holder(request, services, database::Feature::volumes), name->second);
    }
    return {};
}

std::string holder(const Request& request, const Services& services, database::Feature feature) {
    return services.database->projects().holder(feature, request.project);
}

bool lists(const Request& request, const std::string& asked, const std::string& project) {
    return request.all_projects ? sees(request, project) : project == asked;
}

Result<> check_other_project(const Request& request, const Services& services, const std::string& project) {
    if (project.empty() || (services.database->projects().find(project) && sees(request, project))) return {};
    return fail(Status::not_found, "Project '" + project + "' not found");
}

void hide_users(const Request& request, nlohmann::json& object) {
    if (request.identity.is_admin()) return;
    object["used_by"] = visible_users(request, object["used_by"].get<std::vector<std::string>>());
}

std::vector<std::string> visible_users(const Request& request, const std::vector<std::string>& urls) {
    std::vector<std::string> out;
    for (const auto& url : urls) {
        auto shown = api::split_url(url);
        if (sees(request, shown.project)) out.push_back(std::move(shown.url));
    }
    return out;
}

}  // namespace lxmgr::rest
