#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/operations/worker_pool.h"

namespace lxmgr::instances {
namespace {

using std::chrono::milliseconds;

/// After SIGKILL the kernel needs only its own time; more than this means a task in an uninterruptible wait.
constexpr milliseconds kKillTimeout{30'000};

}  // namespace

Result<> stop_instance(Context& context, const std::string& name, bool force,
                       std::optional<std::chrono::seconds> timeout, const std::string& requestor,
                       std::stop_token stop) {
    LX_TRY_AS(const auto record, require(context, name));
    const LiveState live = context.live.get(name);
    if (live.status == api::StatusCode::stopped)
        return fail(Status::bad_request, "The instance is already stopped");
    context.live.set_being_stopped(name, true);
    Revert undo;
    undo.add([&] { context.live.set_being_stopped(name, false); });
    const operations::WorkerPool::Waiting waiting(context.deps.workers);  // its end is handled there, too
    if (force) {
        LX_TRY(context.deps.runtime.kill(name));
        failpoint("instances.stop.kill");
        if (!context.live.wait_stopped(name, kKillTimeout, {})) {
            return fail(
                Status::internal,
                fmt::format("Instance '{}' was killed but has not ended: a process in it hangs in the kernel",
                            name));
        }
    } else {
        if (live.status == api::StatusCode::frozen) LX_TRY(unfreeze_instance(context, name, requestor));
        LX_TRY(context.deps.runtime.signal_halt(name));
        failpoint("instances.stop.signal");
        const auto limit = timeout ? std::optional<milliseconds>(*timeout) : std::nullopt;
        if (!context.live.wait_stopped(name, limit, stop)) {
            return fail(
                Status::internal,
                fmt::format("Failed shutting down instance, status is \"Running\": '{}' did not stop {}",
                            name,
                            timeout ? fmt::format("within {} s", timeout->count())
                                    : "before the operation was cancelled"));
        }
    }
    undo.commit();
    failpoint("instances.stop.done");
    context.lifecycle(force ? "instance-stopped" : "instance-shutdown", name, requestor, nullptr);
    return {};
}

Result<> freeze_instance(Context& context, const std::string& name, const std::string& requestor) {
    LX_TRY(require(context, name));
    const auto status = context.live.get(name).status;
    if (status == api::StatusCode::frozen) return fail(Status::bad_request, "The instance is already frozen");
    if (status != api::StatusCode::running) return fail(Status::bad_request, "The instance isn't running");
    LX_TRY(context.deps.runtime.freeze(name));
    context.live.set_status(name, api::StatusCode::frozen);
    context.lifecycle("instance-paused", name, requestor, nullptr);
    return {};
}

Result<> unfreeze_instance(Context& context, const std::string& name, const std::string& requestor) {
    LX_TRY(require(context, name));
    if (context.live.get(name).status != api::StatusCode::frozen)
        return fail(Status::bad_request, "The instance is not frozen");
    LX_TRY(context.deps.runtime.unfreeze(name));
    context.live.set_status(name, api::StatusCode::running);
    context.lifecycle("instance-resumed", name, requestor, nullptr);
    return {};
}

}  // namespace lxmgr::instances
