#pragma once
#include <string>

#include "lxd-daemon/database/projects.h"
#include "lxd-daemon/rest/route.h"

/// Which project a request is for, and what its objects are called there.
namespace lxmgr::rest {

/// ?project= as it was given; "default" without.
std::string project_asked_for(const Request& request);
/// ?all-projects=true of a route that is a list of all projects.
bool asks_for_all_projects(const Request& request, const Route& route);

/// After the caller was found to be allowed: fills in `project`, and turns the names of objects in `args`
/// into keys (api/project_keys.h). Errors: `not_found`.
Result<> enter_project(Request& request, const Route& route, const Services& services);

/// The project whose objects of a kind those of the request's project are.
std::string holder(const Request& request, const Services& services, database::Feature feature);
/// Whether a list shows an object of that project: it is of the one asked for, or any that the caller sees.
bool lists(const Request& request, const std::string& asked, const std::string& project);
/// Of a project that the body of a request names: the caller may use it. Empty: none is named. Errors:
/// `not_found`.
Result<> check_other_project(const Request& request, const Services& services, const std::string& project);
/// Takes those out of an object's "used_by" that the caller does not see.
void hide_users(const Request& request, nlohmann::json& object);
/// URLs of users as clients know them, without those that the caller does not see.
std::vector<std::string> visible_users(const Request& request, const std::vector<std::string>& urls);

}  // namespace lxmgr::rest
