#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

/// LXD's older name of the instances that are virtual machines: clients list them beside containers, and here
/// are none.
namespace lxmgr::rest {
namespace {

Handled virtual_machines_get(const Request& request, Services&) {
    LX_CO_TRY(check_project(request));
    co_return Response::sync(nlohmann::json::array());
}

Handled virtual_machines_post(const Request&, Services&) {
    co_return fail(Status::bad_request, "Virtual machines are not supported: only containers");
}

Handled virtual_machine_get(const Request& request, Services&) {
    LX_CO_TRY(check_project(request));
    co_return fail(Status::not_found, "Instance not found");
}

constexpr Route kVirtualMachinesRoutes[] = {
    {Verb::get, "/1.0/virtual-machines", Access::can_view, virtual_machines_get},
    {Verb::post, "/1.0/virtual-machines", Access::can_edit, virtual_machines_post},
    {Verb::get, "/1.0/virtual-machines/{name}", Access::can_view, virtual_machine_get},
};

}  // namespace

std::span<const Route> virtual_machine_routes() { return kVirtualMachinesRoutes; }

}  // namespace lxmgr::rest
