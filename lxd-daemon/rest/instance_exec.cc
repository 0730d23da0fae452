#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/instance_requests.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/rest/exec_session.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"

namespace lxmgr::rest {
namespace {

/// What LXD sets when neither the request nor the instance's config does.
void add_defaults(api::InstanceExecPost& post) {
    post.environment.emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    post.environment.emplace("LANG", "C.UTF-8");
    if (post.user != 0) return;
    post.environment.emplace("HOME", "/root");
    post.environment.emplace("USER", "root");
}

Result<> check(const api::InstanceExecPost& post) {
    const auto bad = [](const char* why) { return fail(Status::bad_request, why); };
    if (post.command.empty() || post.command.front().empty()) return bad("No command was given");
    for (const auto& word : post.command) {
        if (word.contains('\0')) return bad("The command holds a NUL byte");
    }
    for (const auto& [key, value] : post.environment) {
        if (key.empty() || key.contains('=') || key.contains('\0') || value.contains('\0')) {
            return bad("The environment holds a bad name or value");
        }
    }
    if (post.cwd.contains('\0')) return bad("The working directory holds a NUL byte");
    if (post.record_output && post.wait_for_websocket)
        return bad("The output of websockets cannot be recorded");
    return {};
}

std::vector<std::string> socket_names(bool interactive) {
    if (interactive) return {"0", "control"};
    return {"0", "1", "2", "control"};
}

/// Files of a recorded output: base path, and what the operation shows.
struct Record {
    std::string base;
    nlohmann::json urls;
};
Record plan_record(Services& services, const std::string& instance) {
    const std::string name = "exec_" + random_uuid();
    const std::string url = fmt::format("/1.0/instances/{}/logs/exec-output/{}", instance, name);
    return {fmt::format("{}/exec-output/{}", services.exec_target.logs_dir(instance), name),
            {{"1", api::public_url(url + ".stdout")}, {"2", api::public_url(url + ".stderr")}}};
}

operations::Request describe_exec(const api::InstanceExecPost& post, const std::string& instance,
                                  const std::string& requestor) {
    operations::Request out;
    out.kind = post.wait_for_websocket ? operations::Class::websocket : operations::Class::task;
    out.description = "Executing command";
    out.resources = {{"instances", {instance}}};
    out.requestor = requestor;
    out.metadata = {
        {"command", post.command}, {"environment", post.environment}, {"interactive", post.interactive}};
    return out;
}

Handled exec_post(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const std::string instance = request.path_arg("name");
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_instance_exec_post(body));
    LX_CO_TRY(check(post));
    // As for LXD: at a terminal that nobody can reach, nobody would be.
    if (!post.wait_for_websocket) post.interactive = false;
    LX_CO_TRY(services.exec_target.prepare(instance, post.environment));
    add_defaults(post);

    auto wanted = describe_exec(post, instance, request.requestor_json);
    ExecOrder order{.instance = instance, .post = post, .meeting = nullptr, .record_base = ""};
    if (post.wait_for_websocket) {
        order.meeting = std::make_shared<Meeting>(services.io, socket_names(post.interactive));
        wanted.metadata["fds"] = order.meeting->secrets();
    }
    if (post.record_output) {
        auto record = plan_record(services, instance);
        wanted.metadata["output"] = std::move(record.urls);
        order.record_base = std::move(record.base);
        auto make = [path = services.exec_target.logs_dir(instance) + "/exec-output"] {
            return make_directories(path, 0700);
        };
        auto making = on_worker(services, std::move(make));
        LX_CO_TRY(co_await std::move(making));
    }
    LX_CO_TRY_AS(auto operation, services.operations.start(std::move(wanted)));
    auto response = Response::operation(*operation);
    const nlohmann::json context{{"command", post.command}};
    events::publish_lifecycle(services.hub, "instance-exec", "/1.0/instances/" + instance, context.dump(),
                              request.requestor_json);
    start_exec(services, std::move(operation), std::move(order));
    co_return response;
}

constexpr Route kInstanceExecRoutes[] = {
    {Verb::post, "/1.0/instances/{name}/exec", Access::can_edit, exec_post},
};

}  // namespace

std::span<const Route> exec_routes() { return kInstanceExecRoutes; }

}  // namespace lxmgr::rest
