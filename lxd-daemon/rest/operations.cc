#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/auth/password.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/meeting.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/upgrade.h"
#include "lxd-daemon/rest/visible.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
using operations::OperationPtr;

const std::string kOwn = "default";

/// Those of others are not there for the caller.
Result<OperationPtr> require_operation(const Request& request, Services& services) {
    auto operation = services.operations.find(request.path_arg("id"));
    if (!operation || !sees(request, *operation)) return fail(Status::not_found, "Operation not found");
    return operation;
}

/// Grouped by status in lower case: {"running": [...], "success": [...]}.
Handled operations_get(const Request& request, Services& services) {
    nlohmann::json groups = nlohmann::json::object();
    for (const auto& operation : services.operations.list()) {
        if (!sees(request, *operation)) continue;
        // Those of the server stand in the list of "default".
        const std::string& of = operation->project().empty() ? kOwn : operation->project();
        if (!request.all_projects && of != request.project) continue;
        auto shown = operation->to_json();
        auto& group = groups[to_lower(shown["status"].get_ref<const std::string&>())];
        if (request.recursion() > 0) {
            group.push_back(std::move(shown));
        } else {
            group.push_back(api::with_project("/1.0/operations/" + operation->id(), of));
        }
    }
    co_return Response::sync(groups);
}

Handled operation_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto operation, require_operation(request, services));
    co_return Response::sync(operation->to_json());
}

Handled operation_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto operation, require_operation(request, services));
    LX_CO_TRY(operation->cancel());
    co_return Response::empty();
}

/// `timeout` in seconds; -1 or nothing: for ever.
Result<std::chrono::steady_clock::time_point> wait_deadline(const Request& request) {
    constexpr std::int64_t kLongest = 10 * 365 * 86400L;
    const auto text = request.query_or("timeout", "-1");
    const auto seconds = parse_int(text.empty() ? "-1" : text);
    if (!seconds) return fail(Status::bad_request, "The timeout is not a number of seconds");
    if (*seconds < 0 || *seconds > kLongest) return std::chrono::steady_clock::time_point::max();
    return std::chrono::steady_clock::now() + std::chrono::seconds(*seconds);
}

/// For who may see it, and for who has the secret that its metadata holds: another server that waits.
Result<OperationPtr> require_by_secret(const Request& request, Services& services) {
    auto operation = services.operations.find(request.path_arg("id"));
    if (operation && sees(request, *operation)) return operation;
    if (!operation && request.identity.who != auth::Who::untrusted &&
        request.identity.who != auth::Who::metrics)
        return fail(Status::not_found, "Operation not found");
    const auto given = request.query_or("secret", "");
    if (!operation || given.empty() || operation->project().empty())
        return fail(Status::forbidden, "not authorized");
    const auto shown = operation->to_json();
    const auto& metadata = shown.at("metadata");
    const bool has_one =
        metadata.is_object() && metadata.contains("secret") && metadata["secret"].is_string();
    if (has_one && auth::is_same_secret(metadata["secret"].get<std::string>(), given)) return operation;
    return fail(Status::forbidden, "not authorized");
}

/// Answers with the operation as it is when it has ended, or when the time is up.
Handled operation_wait(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto operation, require_by_secret(request, services));
    LX_CO_TRY_AS(const auto deadline, wait_deadline(request));
    const auto timer = std::make_shared<asio::steady_timer>(services.io, deadline);
    bool gone = false;
    if (request.peer != nullptr) {
        request.peer->on_hangup([timer, &gone] {
            gone = true;
            timer->cancel();
        });
    }
    // The timer is the I/O thread's; an operation may end on any.
    operation->on_final([timer, &io = services.io] { asio::post(io, [timer] { timer->cancel(); }); });
    while (!operation->is_final() && !gone && std::chrono::steady_clock::now() < deadline) {
        boost::system::error_code error;
        auto wait = timer->async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
    }
    co_return Response::sync(operation->to_json());
}

/// Access is by the secret alone: it was given to whoever started the operation.
Handled operation_websocket(const Request& request, Services& services) {
    if (!services.operations.find(request.path_arg("id")))
        co_return fail(Status::not_found, "Operation not found");
    const auto found = services.meetings.find(request.path_arg("id"));
    if (found == services.meetings.end())
        co_return fail(Status::bad_request, "This operation has no websockets");
    if (request.upgrade == nullptr) co_return fail(Status::bad_request, "Only websockets are served here");
    const std::shared_ptr<Meeting> meeting = found->second;
    const auto name = meeting->claim(request.query_or("secret", ""));
    if (!name) co_return fail(Status::forbidden, "The secret is not valid, or was used already");
    auto accepting = request.upgrade->accept_websocket();
    auto accepted = co_await std::move(accepting);
    if (!accepted) {
        meeting->unclaim(*name);
        co_return std::unexpected(std::move(accepted).error());
    }
    meeting->arrive(*name, std::move(*accepted));
    co_return Response::upgrade_done();
}

constexpr Route kOperationsRoutes[] = {
    {Verb::get, "/1.0/operations", Access::authenticated, operations_get},
    {Verb::get, "/1.0/operations/{id}", Access::authenticated, operation_get},
    {Verb::del, "/1.0/operations/{id}", Access::authenticated, operation_delete},
    {Verb::get, "/1.0/operations/{id}/wait", Access::anyone, operation_wait},
    {Verb::get, "/1.0/operations/{id}/websocket", Access::anyone, operation_websocket},
};

}  // namespace

std::span<const Route> operation_routes() { return kOperationsRoutes; }

}  // namespace lxmgr::rest
