#include "lxd-daemon/rest/authorise.h"

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/projects.h"

namespace lxmgr::rest {

bool may(Access access, const auth::Identity& who, const std::string& project) {
    using auth::Who;
    if (access == Access::anyone) return true;
    const auto is_its = [&who](const std::string& name) {
        return !who.restricted || std::ranges::find(who.projects, name) != who.projects.end();
    };
    if (who.who == Who::local) return true;
    switch (access) {
        case Access::anyone:
        case Access::local:
            return access == Access::anyone;
        case Access::authenticated:
            return who.who == Who::client;
        case Access::metrics:
            return who.may_use(project) || (who.who == Who::metrics && is_its(project));
        case Access::can_view:
        case Access::can_edit:
        case Access::can_push:
            return who.may_use(project);
        case Access::admin:
            return who.is_admin();
    }
    return false;
}

namespace {

bool is_known(const auth::Identity& who) {
    return who.who == auth::Who::client || who.who == auth::Who::local || who.who == auth::Who::guest;
}

}  // namespace

Result<> authorise(const Request& request, const Router::Match& match, bool metrics_are_open) {
    const auto denied = [] { return fail(Status::forbidden, "not authorized"); };
    if (match.route == nullptr) {
        if (!is_known(request.identity)) return denied();
        if (!match.path_known) return fail(Status::not_found, "not found");
        return fail(Status::not_implemented, "not implemented");
    }
    if (match.route->access == Access::metrics && metrics_are_open) return {};
    // The list shows a restricted client what is of its projects.
    if (match.route->access == Access::can_view && asks_for_all_projects(request, *match.route) &&
        request.identity.who == auth::Who::client)
        return {};
    if (!may(match.route->access, request.identity, project_asked_for(request))) return denied();
    return {};
}

Result<> refuse_other_sites(const Request& request) {
    const auto denied = [] { return fail(Status::forbidden, "Requests from other web sites are refused"); };
    // https://www.w3.org/TR/fetch-metadata/
    const auto site = request.header("sec-fetch-site").value_or("none");
    if (site != "none" && site != "same-origin") return denied();
    const auto origin = request.header("origin");
    if (!origin) return {};
    const auto host = to_lower(request.header("host").value_or(""));
    if (host.empty() || to_lower(*origin) != "https://" + host) return denied();
    return {};
}

}  // namespace lxmgr::rest
