#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/rest/event_stream.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/upgrade.h"
#include "lxd-daemon/rest/visible.h"
#include "lxd-daemon/rest/websocket.h"

namespace lxmgr::rest {
namespace {

Result<unsigned> parse_kinds(const std::string& text) {
    using events::Kind;
    unsigned kinds = 0;
    for (const auto& name : split(text, ',')) {
        if (name == "operation") {
            kinds |= static_cast<unsigned>(Kind::operation);
        } else if (name == "lifecycle") {
            kinds |= static_cast<unsigned>(Kind::lifecycle);
        } else if (name == "logging") {
            kinds |= static_cast<unsigned>(Kind::logging);
        } else {
            return fail(Status::bad_request, "'" + name + "' is not an event type");
        }
    }
    return kinds;
}

Handled server_events_get(const Request& request, Services& services) {
    const std::string types = request.query_or("type", "");
    LX_CO_TRY_AS(const unsigned kinds, parse_kinds(types.empty() ? "operation,lifecycle,logging" : types));
    const bool all_projects = request.query_or("all-projects", "false") == "true";
    if (!all_projects) LX_CO_TRY(check_project(request));
    const bool is_admin = request.identity.is_admin();
    if (!is_admin && types.contains("logging")) co_return fail(Status::forbidden, "not authorized");
    if (!all_projects && !sees(request, request.project)) co_return fail(Status::forbidden, "not authorized");
    if (request.upgrade == nullptr) co_return fail(Status::bad_request, "Only websockets are served here");
    auto stream = std::make_shared<EventStream>(services.io);
    // Log lines and what concerns the server are the administrators'.
    EventScope scope{all_projects ? std::vector<std::string>{} : std::vector{request.project}, is_admin};
    if (all_projects && !is_admin) {
        scope.projects = request.identity.projects;
        if (scope.projects.empty()) co_return fail(Status::forbidden, "not authorized");
    }
    stream->subscribe(services.hub, kinds, scope);
    auto accepting = request.upgrade->accept_websocket();
    auto socket = co_await std::move(accepting);
    if (!socket) {
        stream->unsubscribe();
        co_return std::unexpected(std::move(socket).error());
    }
    stream->start(std::move(*socket));
    co_return Response::upgrade_done();
}

constexpr Route kEventsRoutes[] = {
    {Verb::get, "/1.0/events", Access::authenticated, server_events_get},
};

}  // namespace

std::span<const Route> event_routes() { return kEventsRoutes; }

}  // namespace lxmgr::rest
