#include <fmt/format.h>

#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/service_impl.h"
#include "lxd-daemon/instances/side_by_side.h"
#include "lxd-daemon/instances/steps.h"
#include "lxd-daemon/operations/worker_pool.h"

/// start, stop, restart, freeze and unfreeze: of one instance, and of all.
namespace lxmgr::instances {
namespace {

/// Stops wait for their guests, starts use the CPUs.
constexpr std::size_t kBulkStopsAtOnce = 128;
constexpr std::size_t kStartsAtOnce = 8;

std::optional<std::chrono::seconds> timeout_of(const api::InstanceStatePut& put) {
    if (put.timeout < 0) return std::nullopt;
    // 0 is "at once" for a forced stop and means nothing for a graceful one: LXD then waits.
    if (put.timeout == 0) return std::nullopt;
    return std::chrono::seconds(put.timeout);
}

Result<> restart(Context& context, const std::string& name, const api::InstanceStatePut& put,
                 const std::string& requestor, const std::stop_token& stop) {
    LX_TRY(stop_instance(context, name, put.force, timeout_of(put), requestor, stop));
    LX_TRY(start_instance(context, name, requestor));
    context.lifecycle("instance-restarted", name, requestor, nullptr);
    return {};
}

Result<> run_action(Context& context, const std::string& name, const api::InstanceStatePut& put,
                    const std::string& requestor, const std::stop_token& stop) {
    if (put.action == "start") return start_instance(context, name, requestor);
    if (put.action == "stop")
        return stop_instance(context, name, put.force, timeout_of(put), requestor, stop);
    if (put.action == "restart") return restart(context, name, put, requestor, stop);
    if (put.action == "freeze") return freeze_instance(context, name, requestor);
    return unfreeze_instance(context, name, requestor);
}

Result<std::string> describe_action(const api::InstanceStatePut& put) {
    if (put.stateful) return fail(Status::bad_request, "Stateful stop and start are not supported");
    static const std::map<std::string, std::string, std::less<>> kWords{{"start", "Starting instance"},
                                                                        {"stop", "Stopping instance"},
                                                                        {"restart", "Restarting instance"},
                                                                        {"freeze", "Freezing instance"},
                                                                        {"unfreeze", "Unfreezing instance"}};
    const auto found = kWords.find(put.action);
    if (found != kWords.end()) return found->second;
    return fail(Status::bad_request,
                fmt::format("Unknown action '{}': use start, stop, restart, freeze or unfreeze", put.action));
}

/// Ends instances for a forced stop that must not queue behind a graceful one that may never end.
void kill_later(const Dependencies& deps, std::vector<std::string> names) {
    if (names.empty()) return;
    deps.workers.post([&runtime = deps.runtime, names = std::move(names)] {
        for (const auto& name : names) {
            if (auto killed = runtime.kill(name); !killed)
                log::debug("nothing to kill", {{"instance", name}});
        }
    });
}

/// Whether this action has something to do for an instance in this state.
bool concerns(const std::string& action, api::StatusCode status) {
    using enum api::StatusCode;
    if (action == "start") return status == stopped || status == frozen;
    if (action == "freeze") return status == running;
    if (action == "unfreeze") return status == frozen;
    return status != stopped;
}

/// An instance that is on its own way to where it shall go is there already.
bool is_there(const std::string& action, api::StatusCode status) {
    return action == "stop" && status == api::StatusCode::stopped;
}

/// LXD's words: the failures of all, one a line.
Result<> told_together(const std::map<std::string, std::string>& failures) {
    if (failures.empty()) return {};
    std::string text = "The following instances failed to update state:";
    for (const auto& [name, why] : failures)
        text += fmt::format("\n - Instance: {}: {}", api::instance_name(name), why);
    return fail(Status::internal, text);
}

}  // namespace

Result<operations::OperationPtr> Service::change_state(const std::string& name, api::InstanceStatePut put,
                                                       const std::string& requestor) {
    LX_TRY(require(name));
    LX_TRY_AS(auto description, describe_action(put));
    auto request = request_for(std::move(description), name, requestor);
    const bool overtakes = put.action == "stop" && put.force && impl_->context.live.get(name).being_stopped;
    request.body = step(
        [this, name, put = std::move(put), requestor, overtakes](const std::stop_token& stop) -> Result<> {
            if (overtakes && status(name) == api::StatusCode::stopped) return {};
            return run_action(impl_->context, name, put, requestor, stop);
        });
    auto started = deps_.operations.start(std::move(request));
    if (started && overtakes) kill_later(deps_, {name});
    return started;
}

Result<operations::OperationPtr> Service::change_state_of_all(const std::string& project,
                                                              api::InstanceStatePut put,
                                                              const std::string& requestor) {
    LX_TRY_AS(auto description, describe_action(put));
    std::vector<std::string> names;
    std::vector<std::string> overtaken;
    for (const auto& record : list()) {
        if (!api::is_of_project(record->name, project)) continue;
        const LiveState live = impl_->context.live.get(record->name);
        if (!concerns(put.action, live.status)) continue;
        names.push_back(record->name);
        if (put.action == "stop" && put.force && live.being_stopped) overtaken.push_back(record->name);
    }
    operations::Request request;
    request.description = std::move(description);
    request.resources = {{"instances", names}};
    request.project = project;
    request.requestor = requestor;
    for (const auto& name : names) request.locks.push_back("instance:" + name);
    request.body = step([this, names, put = std::move(put), requestor](const std::stop_token& stop) {
        std::mutex mutex;
        std::map<std::string, std::string> failures;
        const auto change = [&](const std::string& name) {
            if (is_there(put.action, status(name))) return;
            api::InstanceStatePut own = put;
            if (own.action == "start" && status(name) == api::StatusCode::frozen) own.action = "unfreeze";
            const auto done = run_action(impl_->context, name, own, requestor, stop);
            if (done) return;
            const std::lock_guard lock(mutex);
            failures[name] = done.error().message;
        };
        side_by_side<std::string>(names, put.action == "start" ? kStartsAtOnce : kBulkStopsAtOnce, change);
        return told_together(failures);
    });
    auto started = deps_.operations.start(std::move(request));
    if (started) kill_later(deps_, std::move(overtaken));
    return started;
}

}  // namespace lxmgr::instances
