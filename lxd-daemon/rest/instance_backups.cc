#include <nlohmann/json.hpp>

#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {
namespace {

/// Clients list backups whenever they show an instance; it has none yet.
Handled nothing_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY(services.instances->require(request.path_arg("name")));
    co_return Response::sync(nlohmann::json::array());
}

constexpr Route kRoutes[] = {
    {Verb::get, "/1.0/instances/{name}/backups", Access::can_view, nothing_get},
};

}  // namespace

std::span<const Route> instance_backup_routes() { return kRoutes; }

}  // namespace lxmgr::rest
