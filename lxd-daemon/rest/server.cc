#include "lxd-daemon/api/server.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/images/service.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/server_info.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {
namespace {

Handled server_versions_get(const Request&, Services&) { co_return Response::sync({"/1.0"}); }

Handled server_get(const Request&, Services& services) {
    const auto view = services.server->view();
    auto response = Response::raw(view->envelope, "application/json");
    co_return std::move(response).with_etag(view->etag);
}

Result<> change_config(Services& services, const api::ConfigMap& config, const std::string& requestor) {
    LX_TRY(services.server->replace_config(config));
    if (services.instances != nullptr) services.instances->images().changed();
    events::publish_lifecycle(services.hub, "config-updated", "/1.0", "", requestor);
    return {};
}

Handled server_put(const Request& request, Services& services) {
    LX_CO_TRY(check_etag(request, services.server->view()->etag));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto config, api::parse_server_put(body));
    auto change = [&services, config = std::move(config), who = request.requestor_json] {
        return change_config(services, config, who);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

Handled server_patch(const Request& request, Services& services) {
    LX_CO_TRY(check_etag(request, services.server->view()->etag));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto config, api::patch_server(body, services.server->config()));
    auto change = [&services, config = std::move(config), who = request.requestor_json] {
        return change_config(services, config, who);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    co_return Response::empty();
}

/// Clients ask before everything that could concern a cluster: this server is in none.
Handled cluster_get(const Request&, Services&) {
    co_return Response::sync(
        {{"server_name", ""}, {"enabled", false}, {"member_config", nlohmann::json::array()}});
}

/// Answered when it has begun; the end of the daemon closes the client's other connections.
Handled shutdown_put(const Request&, Services& services) {
    services.shut_down();
    co_return Response::empty();
}

constexpr Route kServerRoutes[] = {
    {Verb::get, "/", Access::anyone, server_versions_get},
    {Verb::get, "/1.0", Access::anyone, server_get},
    {Verb::put, "/1.0", Access::admin, server_put},
    {Verb::patch, "/1.0", Access::admin, server_patch},
    {Verb::get, "/1.0/cluster", Access::authenticated, cluster_get},
    {Verb::put, "/internal/shutdown", Access::admin, shutdown_put},
};

}  // namespace

std::span<const Route> server_routes() { return kServerRoutes; }

}  // namespace lxmgr::rest
