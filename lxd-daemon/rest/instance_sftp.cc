#include <memory>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/upgrade.h"

// A plain upgrade, not a websocket: after the answer 101 the connection carries SFTP.
namespace lxmgr::rest {
namespace {

Handled sftp_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const std::string name = request.path_arg("name");
    LX_CO_TRY(services.instances->require(name));
    if (request.upgrade == nullptr || request.upgrade->protocol() != "sftp")
        co_return fail(Status::bad_request, "The request must ask for an upgrade to 'sftp'");
    // The root first: after the answer there is no way to tell of an error.
    auto open = [&services, name] { return services.instances->open_root(name); };
    auto opening = on_worker(services, std::move(open));
    LX_CO_TRY_AS(auto opened, co_await std::move(opening));
    auto root = std::make_shared<instances::InstanceRoot>(std::move(opened));
    auto accepting = request.upgrade->accept_raw("sftp");
    LX_CO_TRY_AS(UniqueFd accepted, co_await std::move(accepting));
    auto served = services.instances->serve_sftp(name, std::move(accepted), std::move(*root));
    if (!served) log::warn("SFTP client not served", {{"instance", name}, {"error", served.error().message}});
    co_return Response::upgrade_done();
}

constexpr Route kInstanceSftpRoutes[] = {
    {Verb::get, "/1.0/instances/{name}/sftp", Access::can_edit, sftp_get},
};

}  // namespace

std::span<const Route> instance_sftp_routes() { return kInstanceSftpRoutes; }

}  // namespace lxmgr::rest
