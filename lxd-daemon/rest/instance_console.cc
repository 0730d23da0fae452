#include <nlohmann/json.hpp>

#include "lxd-daemon/api/instance_requests.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/rest/console_session.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::rest {
namespace {

Handled console_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const std::string instance = request.path_arg("name");
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(const auto post, api::parse_instance_console_post(body));
    if (!post.type.empty() && post.type != "console") {
        co_return fail(Status::bad_request, "Containers have only the console type 'console'");
    }
    std::map<std::string, std::string> environment;
    LX_CO_TRY(services.exec_target.prepare(instance, environment));

    ConsoleOrder order{.instance = instance, .width = post.width, .height = post.height, .meeting = nullptr};
    order.meeting = std::make_shared<Meeting>(services.io, std::vector<std::string>{"0", "control"});
    operations::Request wanted;
    wanted.kind = operations::Class::websocket;
    wanted.description = "Showing console";
    wanted.resources = {{"instances", {instance}}};
    wanted.requestor = request.requestor_json;
    wanted.metadata = {{"fds", order.meeting->secrets()}};
    LX_CO_TRY_AS(auto operation, services.operations.start(std::move(wanted)));
    auto response = Response::operation(*operation);
    const nlohmann::json context{{"type", "console"}};
    events::publish_lifecycle(services.hub, "instance-console", "/1.0/instances/" + instance, context.dump(),
                              request.requestor_json);
    start_console(services, std::move(operation), std::move(order));
    co_return response;
}

Handled console_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    LX_CO_TRY_AS(const std::string path, services.exec_target.console_log(request.path_arg("name")));
    auto read = [path] { return runtime::read_console_log(path); };
    auto reading = on_worker(services, std::move(read));
    auto log = co_await std::move(reading);
    // An instance that never ran has said nothing.
    if (!log && log.error().status == Status::not_found) log = std::string();
    if (!log) co_return std::unexpected(std::move(log).error());
    events::publish_lifecycle(services.hub, "instance-console-retrieved",
                              "/1.0/instances/" + request.path_arg("name"), "", request.requestor_json);
    auto response = Response::raw(std::move(*log), "application/octet-stream");
    co_return std::move(response).with_header("Content-Disposition", "inline;filename=console.log");
}

Handled console_delete(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const std::string instance = request.path_arg("name");
    LX_CO_TRY_AS(const std::string path, services.exec_target.console_log(instance));
    auto clear = [path] { return runtime::clear_console_log(path); };
    auto clearing = on_worker(services, std::move(clear));
    const auto cleared = co_await std::move(clearing);
    if (!cleared && cleared.error().status != Status::not_found) co_return std::unexpected(cleared.error());
    events::publish_lifecycle(services.hub, "instance-console-reset", "/1.0/instances/" + instance, "",
                              request.requestor_json);
    co_return Response::empty();
}

constexpr Route kInstanceConsoleRoutes[] = {
    {Verb::post, "/1.0/instances/{name}/console", Access::can_edit, console_post},
    {Verb::get, "/1.0/instances/{name}/console", Access::can_view, console_get},
    {Verb::del, "/1.0/instances/{name}/console", Access::can_edit, console_delete},
};

}  // namespace

std::span<const Route> console_routes() { return kInstanceConsoleRoutes; }

}  // namespace lxmgr::rest
