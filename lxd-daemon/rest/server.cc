#include "lxd-daemon/api/server.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/images/service.h"
#include "lxd-daemon/instances/network_rules.h"
#include "lxd-daemon/instances/networks.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/https/https.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/server_info.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {
namespace {

Handled server_versions_get(const Request&, Services&) { co_return Response::sync({"/1.0"}); }

std::vector<std::string> addresses(const Services& services) {
    return services.https == nullptr ? std::vector<std::string>{} : services.https->addresses();
}

/// The answer as the project asked for has it: it is made once for all, in "default".
std::string in_project(std::string body, const std::string& project) {
    constexpr std::string_view kPlace = R"("project":"default")";
    const auto at = project == "default" ? std::string::npos : body.find(kPlace);
    if (at != std::string::npos) body.replace(at, kPlace.size(), R"("project":")" + project + '"');
    return body;
}

Handled server_get(const Request& request, Services& services) {
    const auto& identity = request.identity;
    const auto view = services.server->view(addresses(services));
    if (identity.is_admin()) {
        auto response = Response::raw(in_project(view->envelope, request.project), "application/json");
        co_return std::move(response).with_etag(view->etag);
    }
    if (identity.who == auth::Who::client)
        co_return Response::raw(in_project(view->restricted, request.project), "application/json");
    // Incus's client wants to be told when it is not trusted.
    if (request.header("x-lxd-authenticated") == "true") co_return fail(Status::forbidden, "not authorized");
    co_return Response::raw(view->untrusted, "application/json");
}

Result<> listen_for_zones(Services& services, const api::ConfigMap& config) {
    if (services.networks == nullptr) return {};
    return services.networks->rules().zones().listen(api::value_of(config, "core.dns_address"));
}

/// In this order, so that a config that cannot be lived by is never stored: the listeners move, the config is
/// stored; when that fails they move back.
Handled change_config(const Request& request, Services& services, api::ConfigMap config) {
    auto prepare = [server = services.server, config = std::move(config)] {
        return server->prepare_config(config);
    };
    auto preparing = on_worker(services, std::move(prepare));
    LX_CO_TRY_AS(const auto prepared, co_await std::move(preparing));
    const auto before = services.server->stored_config();
    if (services.https != nullptr) LX_CO_TRY(services.https->listen(prepared));
    auto named = listen_for_zones(services, prepared);
    if (!named) {
        if (services.https != nullptr) (void)services.https->listen(before, Https::When::boot);
        co_return std::unexpected(std::move(named).error());
    }
    auto store = [&services, prepared]() -> Result<> {
        const auto keep = [&] { return services.server->store_config(prepared); };
        if (services.instances == nullptr) return keep();
        LX_TRY(services.instances->change_config(prepared, keep));
        services.instances->images().changed();
        return {};
    };
    auto storing = on_worker(services, std::move(store));
    auto stored = co_await std::move(storing);
    if (!stored) {
        if (services.https != nullptr) (void)services.https->listen(before, Https::When::boot);
        (void)listen_for_zones(services, before);
        co_return std::unexpected(std::move(stored).error());
    }
    events::publish_lifecycle(services.hub, "config-updated", "/1.0", "", request.requestor_json);
    co_return Response::empty();
}

/// PUT replaces the config, PATCH changes what it gives.
Handled server_change(const Request& request, Services& services) {
    auto queueing = services.config_changes.take();
    const auto turn = co_await std::move(queueing);
    LX_CO_TRY(check_etag(request, services.server->view(addresses(services))->etag));
    LX_CO_TRY_AS(const auto body, request.json());
    const bool whole = request.verb == Verb::put;
    auto parsed = whole ? api::parse_server_put(body) : api::patch_server(body, services.server->config());
    LX_CO_TRY_AS(auto config, std::move(parsed));
    auto changing = change_config(request, services, std::move(config));
    co_return co_await std::move(changing);
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

/// For `lxd waitready` and `incus admin waitready`: who answers is ready.
Handled ready_get(const Request&, Services&) { co_return Response::empty(); }

constexpr Route kServerRoutes[] = {
    {Verb::get, "/", Access::anyone, server_versions_get},
    {Verb::get, "/1.0", Access::anyone, server_get},
    {Verb::put, "/1.0", Access::admin, server_change},
    {Verb::patch, "/1.0", Access::admin, server_change},
    {Verb::get, "/1.0/cluster", Access::authenticated, cluster_get},
    {Verb::get, "/internal/ready", Access::local, ready_get},
    {Verb::put, "/internal/shutdown", Access::local, shutdown_put},
};

}  // namespace

std::span<const Route> server_routes() { return kServerRoutes; }

}  // namespace lxmgr::rest
