#include "lxd-daemon/rest/migration.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>

#include "lxd-daemon/instances/migration/service.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/migration_link.h"
#include "lxd-daemon/rest/on_worker.h"

namespace lxmgr::rest {
namespace {

/// A link, and the meeting that it waits for, if it does.
struct Reached {
    instances::MigrationWire wire;
    std::shared_ptr<Meeting> meeting;
};

Reached wait_for_sockets(Services& services) {
    auto meeting = std::make_shared<Meeting>(services.io, std::vector<std::string>{"control", "fs"});
    return {{meeting_link(services, meeting), meeting->secrets()}, meeting};
}

Result<Reached> dial_sockets(const Request& request, Services& services, const nlohmann::json& peer,
                             const std::string& prefix) {
    const Reach reach = request.identity.is_admin() ? Reach::anywhere : Reach::elsewhere;
    LX_TRY_AS(auto where, api::parse_migration_peer(peer, prefix));
    LX_TRY_AS(auto link, dialling_link(services, {std::move(where), reach}));
    return Reached{{std::move(link), nullptr}, nullptr};
}

/// Of a source's request.
Result<Reached> reach_target(const Request& request, Services& services, const nlohmann::json& body) {
    const auto target = body.find("target");
    if (target != body.end() && target->is_object())
        return dial_sockets(request, services, *target, "target.");
    return wait_for_sockets(services);
}

/// Of a target's.
Result<Reached> reach_source(const Request& request, Services& services, const nlohmann::json& body,
                             const std::string& mode) {
    if (mode.empty() || mode == "pull") return dial_sockets(request, services, body.at("source"), "source.");
    if (mode == "push") return wait_for_sockets(services);
    return fail(Status::bad_request,
                fmt::format("Migration mode '{}' is not supported: use 'pull' or 'push'", mode));
}

/// The operation's websockets are served from now on, until it has ended.
void open_meeting(Services& services, const operations::OperationPtr& operation,
                  const std::shared_ptr<Meeting>& meeting) {
    if (!meeting) return;
    services.meetings.emplace(operation->id(), meeting);
    // An operation may end on any thread.
    operation->on_final([&services, id = operation->id(), meeting] {
        boost::asio::post(services.io, [&services, id, meeting] {
            services.meetings.erase(id);
            meeting->end();
        });
    });
}

}  // namespace

Handled send_to_server(const Request& request, Services& services, instances::MigrationSubject subject,
                       nlohmann::json body) {
    LX_CO_TRY_AS(const auto reached, reach_target(request, services, body));
    LX_CO_TRY_AS(const auto operation, services.instances->migrations().send(std::move(subject), reached.wire,
                                                                             request.requestor_json));
    auto response = Response::operation(*operation);
    open_meeting(services, operation, reached.meeting);
    co_return response;
}

Handled receive_from_server(const Request& request, Services& services, api::InstancesPost post,
                            nlohmann::json body) {
    LX_CO_TRY_AS(const auto reached, reach_source(request, services, body, post.source.mode));
    auto receive = [&services, post = std::move(post), wire = reached.wire,
                    requestor = request.requestor_json] {
        return services.instances->migrations().receive(post, wire, requestor);
    };
    auto pending = on_worker(services, std::move(receive));
    LX_CO_TRY_AS(const auto operation, co_await std::move(pending));
    auto response = Response::operation(*operation);
    open_meeting(services, operation, reached.meeting);
    co_return response;
}

Handled send_volume_to_server(const Request& request, Services& services, instances::VolumeName name,
                              bool with_snapshots, nlohmann::json body) {
    LX_CO_TRY_AS(const auto reached, reach_target(request, services, body));
    LX_CO_TRY_AS(const auto operation, services.instances->migrations().send_volume(
                                           name, with_snapshots, reached.wire, request.requestor_json));
    auto response = Response::operation(*operation);
    open_meeting(services, operation, reached.meeting);
    co_return response;
}

Handled receive_volume_from_server(const Request& request, Services& services, std::string pool,
                                   api::StorageVolumesPost post, nlohmann::json body) {
    std::string mode;
    if (const auto& source = body.at("source"); source.contains("mode") && source["mode"].is_string())
        mode = source["mode"].get<std::string>();
    LX_CO_TRY_AS(const auto reached, reach_source(request, services, body, mode));
    LX_CO_TRY_AS(const auto operation, services.instances->migrations().receive_volume(
                                           pool, post, reached.wire, request.requestor_json));
    auto response = Response::operation(*operation);
    open_meeting(services, operation, reached.meeting);
    co_return response;
}

}  // namespace lxmgr::rest
