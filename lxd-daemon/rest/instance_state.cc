#include "lxd-daemon/api/instance_state.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {
namespace {

Handled instance_state_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    auto read = [&services, name = request.path_arg("name")] { return services.instances->state(name); };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(const auto state, co_await std::move(pending));
    co_return Response::sync_text(api::to_json_text(state));
}

Handled state_put(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto put, api::parse_instance_state_put(body));
    LX_CO_TRY_AS(const auto operation, services.instances->change_state(
                                           request.path_arg("name"), std::move(put), request.requestor_json));
    co_return Response::operation(*operation);
}

constexpr Route kInstanceStateRoutes[] = {
    {Verb::get, "/1.0/instances/{name}/state", Access::can_view, instance_state_get},
    {Verb::put, "/1.0/instances/{name}/state", Access::can_edit, state_put},
};

}  // namespace

std::span<const Route> instance_state_routes() { return kInstanceStateRoutes; }

}  // namespace lxmgr::rest
