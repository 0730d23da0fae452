#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/network_forward.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/network_rules.h"
#include "lxd-daemon/instances/networks.h"
#include "lxd-daemon/instances/project_restrictions.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"

// Wire: client-wire-notes, "forward" (all sync). Peers are for OVN networks: refused as LXD does for bridges.
namespace lxmgr::rest {
namespace {

std::string url_of_forward(const std::string& network, const std::string& address) {
    return url_of({"networks", network, "forwards", address});
}

Result<database::NetworkPtr> require_network(const Request& request, Services& services) {
    LX_TRY(check_project(request));
    auto found = services.database->networks().find(request.path_arg("name"));
    const auto project = services.database->projects().find(request.project);
    if (found && project && !instances::may_use_network(*project, found->name)) found = nullptr;
    if (!found) return fail(Status::not_found, "Network not found");
    if (found->type != "bridge") {
        return fail(Status::bad_request,
                    fmt::format("Network driver \"{}\" does not support forwards", found->type));
    }
    return found;
}

Handled forwards_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto network, require_network(request, services));
    auto out = nlohmann::json::array();
    for (const auto& forward : services.networks->rules().forwards(*network))
        out.push_back(api::to_json(forward));
    co_return list_response(request, std::move(out), [&network](const nlohmann::json& object) {
        return url_of_forward(network->name, object.at("listen_address"));
    });
}

Handled forward_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto network, require_network(request, services));
    LX_CO_TRY_AS(const auto forward,
                 services.networks->rules().forward(*network, request.path_arg("address")));
    co_return Response::sync(api::to_json(forward)).with_etag(etag_of(api::etag_fields(forward)));
}

Handled forwards_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto network, require_network(request, services));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto forward, api::parse_network_forward(body));
    auto create = [&services, network, forward] {
        return services.networks->rules().create_forward(*network, forward);
    };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    const std::string url = url_of_forward(network->name, forward.listen_address);
    publish_lifecycle(services, request.requestor_json, "network-forward-created", url);
    co_return Response::created(url);
}

Handled replace_forward_with(const Request& request, Services& services, database::NetworkPtr network,
                             api::NetworkForward next) {
    const std::string url = url_of_forward(network->name, next.listen_address);
    auto change = [&services, network, next = std::move(next)] {
        return services.networks->rules().replace_forward(*network, next);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-forward-updated", url);
    co_return Response::empty();
}

Handled forward_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto network, require_network(request, services));
    LX_CO_TRY_AS(const auto held, services.networks->rules().forward(*network, request.path_arg("address")));
    LX_CO_TRY(check_etag(request, etag_of(api::etag_fields(held))));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto next, api::parse_network_forward(body));
    next.listen_address = held.listen_address;
    auto pending = replace_forward_with(request, services, network, std::move(next));
    co_return co_await std::move(pending);
}

Handled forward_patch(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto network, require_network(request, services));
    LX_CO_TRY_AS(const auto held, services.networks->rules().forward(*network, request.path_arg("address")));
    LX_CO_TRY(check_etag(request, etag_of(api::etag_fields(held))));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto next, api::patch_network_forward(body, held));
    auto pending = replace_forward_with(request, services, network, std::move(next));
    co_return co_await std::move(pending);
}

Handled forward_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto network, require_network(request, services));
    auto remove = [&services, network, address = request.path_arg("address")] {
        return services.networks->rules().remove_forward(*network, address);
    };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    publish_lifecycle(services, request.requestor_json, "network-forward-deleted",
                      url_of_forward(network->name, request.path_arg("address")));
    co_return Response::empty();
}

Handled peers(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto network, require_network(request, services));
    co_return fail(Status::bad_request,
                   fmt::format("Network driver \"{}\" does not support peering", network->type));
}

constexpr Route kForwardRoutes[] = {
    {Verb::get, "/1.0/networks/{name}/forwards", Access::can_view, forwards_get},
    {Verb::post, "/1.0/networks/{name}/forwards", Access::admin, forwards_post},
    {Verb::get, "/1.0/networks/{name}/forwards/{address}", Access::can_view, forward_get},
    {Verb::put, "/1.0/networks/{name}/forwards/{address}", Access::admin, forward_put},
    {Verb::patch, "/1.0/networks/{name}/forwards/{address}", Access::admin, forward_patch},
    {Verb::del, "/1.0/networks/{name}/forwards/{address}", Access::admin, forward_delete},
    {Verb::get, "/1.0/networks/{name}/peers", Access::can_view, peers},
    {Verb::post, "/1.0/networks/{name}/peers", Access::admin, peers},
};

}  // namespace

std::span<const Route> network_forward_routes() { return kForwardRoutes; }

}  // namespace lxmgr::rest
