#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/network_acl.h"
#include "lxd-daemon/instances/network_rules.h"
#include "lxd-daemon/instances/networks.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"
#include "lxd-daemon/rest/visible.h"
#include "network/acl_log.h"

// Wire: client-wire-notes, "acl" (all sync).
namespace lxmgr::rest {
namespace {

std::string url_of_acl(const std::string& name) { return url_of({"network-acls", name}); }

Result<api::NetworkAcl> require_acl(const Request& request, Services& services) {
    LX_TRY(check_project(request));
    return services.networks->rules().acl(request.path_arg("name"));
}

Handled acls_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto out = nlohmann::json::array();
    for (const auto& acl : services.networks->rules().acls()) out.push_back(api::to_json(acl));
    co_return list_response(request, std::move(out),
                            [](const nlohmann::json& object) { return url_of_acl(object.at("name")); });
}

Handled acl_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto acl, require_acl(request, services));
    co_return Response::sync(api::to_json(acl)).with_etag(etag_of(api::etag_fields(acl)));
}

Handled acls_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto acl, api::parse_network_acl(body));
    auto create = [&services, acl] { return services.networks->rules().create_acl(acl); };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-acl-created", url_of_acl(acl.name));
    co_return Response::created(url_of_acl(acl.name));
}

Handled replace_acl_with(const Request& request, Services& services, api::NetworkAcl next) {
    next.name = request.path_arg("name");
    const std::string url = url_of_acl(next.name);
    auto change = [&services, next = std::move(next)] {
        return services.networks->rules().replace_acl(next);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-acl-updated", url);
    co_return Response::empty();
}

Handled acl_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto acl, require_acl(request, services));
    LX_CO_TRY(check_etag(request, etag_of(api::etag_fields(acl))));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto next, api::parse_network_acl(body));
    auto pending = replace_acl_with(request, services, std::move(next));
    co_return co_await std::move(pending);
}

Handled acl_patch(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto acl, require_acl(request, services));
    LX_CO_TRY(check_etag(request, etag_of(api::etag_fields(acl))));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto next, api::patch_network_acl(body, acl));
    auto pending = replace_acl_with(request, services, std::move(next));
    co_return co_await std::move(pending);
}

Handled acl_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto acl, require_acl(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto new_name, api::parse_rename(body));
    auto rename = [&services, name = acl.name, new_name] {
        return services.networks->rules().rename_acl(name, new_name);
    };
    auto pending = on_worker(services, std::move(rename));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-acl-renamed", url_of_acl(new_name),
                      {{"old_name", acl.name}});
    co_return Response::created(url_of_acl(new_name));
}

Handled acl_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto acl, require_acl(request, services));
    auto remove = [&services, name = acl.name] { return services.networks->rules().remove_acl(name); };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-acl-deleted", url_of_acl(acl.name));
    co_return Response::empty();
}

/// What guests of all projects send is in it, and the networks are those of "default".
Handled acl_log(const Request& request, Services& services) {
    if (!sees(request, "default"))
        co_return fail(Status::forbidden, "not authorized: the log is of project 'default'");
    LX_CO_TRY_AS(const auto acl, require_acl(request, services));
    auto read = [name = acl.name] { return network::read_acl_log(name); };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(auto text, co_await std::move(pending));
    co_return Response::raw(std::move(text), "text/plain");
}

constexpr Route kAclRoutes[] = {
    {Verb::get, "/1.0/network-acls", Access::can_view, acls_get},
    {Verb::post, "/1.0/network-acls", Access::admin, acls_post},
    {Verb::get, "/1.0/network-acls/{name}", Access::can_view, acl_get},
    {Verb::put, "/1.0/network-acls/{name}", Access::admin, acl_put},
    {Verb::patch, "/1.0/network-acls/{name}", Access::admin, acl_patch},
    {Verb::post, "/1.0/network-acls/{name}", Access::admin, acl_post},
    {Verb::del, "/1.0/network-acls/{name}", Access::admin, acl_delete},
    {Verb::get, "/1.0/network-acls/{name}/log", Access::can_view, acl_log},
};

}  // namespace

std::span<const Route> network_acl_routes() { return kAclRoutes; }

}  // namespace lxmgr::rest
