#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/failure_log.h"
#include "lxd-daemon/instances/guest.h"
#include "lxd-daemon/operations/operation.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

const char* kind_name(runtime::ExitStatus::Kind kind) {
    switch (kind) {
        case runtime::ExitStatus::Kind::halt:
            return "halt";
        case runtime::ExitStatus::Kind::reboot:
            return "reboot";
        case runtime::ExitStatus::Kind::exited:
            return "exited";
        case runtime::ExitStatus::Kind::signalled:
            return "signalled";
    }
    return "unknown";
}

/// @param runs_on  it is to run again, by us or by the daemon after us
/// @return whether it is on disk
bool record_exit(Context& context, const database::InstanceRecord& record, const runtime::ExitStatus& status,
                 bool crashed, bool runs_on) {
    const database::ConfigChanges changes{
        {"volatile.last_state.power", runs_on ? "RUNNING" : "STOPPED"},
        {kReadyKey, std::nullopt},
        {kReadyAtKey, std::nullopt},
        {"volatile.last_state.exit", crashed ? std::optional(status.detail) : std::nullopt},
    };
    const auto changed = context.rows().change_config(record.name, changes, false);
    if (!changed)
        log::error("exit not recorded", {{"instance", record.name}, {"error", changed.error().message}});
    if (!crashed) return changed.has_value();
    log::warn("instance crashed", {{"instance", record.name}, {"exit", status.detail}});
    if (auto raised = context.deps.database.warnings().raise("Instance crashed", 2,
                                                             "/1.0/instances/" + record.name, status.detail);
        !raised) {
        log::error("warning not recorded", {{"error", raised.error().message}});
    }
    return changed.has_value();
}

/// What follows when the guest itself asked for it: a new start, or the end of an ephemeral instance.
void follow_up(Context& context, const std::string& name, bool again, bool ephemeral) {
    if (!again && !ephemeral) return;
    if (context.host_shutdown) return;  // Service::stop_all() does what is left to do
    operations::Request request;
    request.description = again ? "Restarting instance" : "Deleting instance";
    request.resources = {{"instances", {name}}};
    request.locks = {"instance:" + name};
    request.body = [&context, name, again](operations::Operation&,
                                           std::stop_token) -> Result<nlohmann::json> {
        // Somebody may have started it before this operation got the lock.
        if (context.live.get(name).status != api::StatusCode::stopped) return nlohmann::json(nullptr);
        if (!again) {
            LX_TRY(delete_instance(context, name, ""));
            return nlohmann::json(nullptr);
        }
        LX_TRY(start_instance(context, name, ""));
        context.lifecycle("instance-restarted", name, "", nullptr);
        return nlohmann::json(nullptr);
    };
    if (auto started = context.deps.operations.start(std::move(request)); !started) {
        log::error("instance not followed up after its exit",
                   {{"instance", name}, {"error", started.error().message}});
    }
}

/// boot.autorestart, for an end that nobody asked us for.
bool shall_run_again(Context& context, const database::InstanceRecord& record) {
    const auto config = expand(context, record).config;
    const auto key = config.find("boot.autorestart");
    if (key == config.end() || !profiles::parse_bool(key->second)) return false;
    if (context.restarts.may_restart(record.name, std::chrono::steady_clock::now())) return true;
    log::warn("instance ends again and again: it is not restarted any more", {{"instance", record.name}});
    return false;
}

}  // namespace

void handle_exit(Context& context, const std::string& name, const runtime::ExitStatus& status) {
    context.sftp_sessions.end(name);
    context.live.wait_not_starting(name);
    // A change of its devices comes to its end first: it would make what nobody releases then.
    const auto turn = context.device_turns.take(name);
    context.guest_sockets.close(name, context.run_dir(name));
    context.hot_devices.watch(name, {});
    const LiveState live = context.live.get(name);
    const auto record = context.rows().find(name);
    using Kind = runtime::ExitStatus::Kind;
    const bool reboot = status.kind == Kind::reboot && !live.being_stopped;
    const bool crashed =
        (status.kind == Kind::exited || status.kind == Kind::signalled) && !live.being_stopped;
    const bool again = record && !context.host_shutdown &&
                       (reboot || (!live.being_stopped && shall_run_again(context, *record)));
    if (record) {
        release_devices(context, *record);
        failpoint("instances.exit.told");
    }
    if (!record || record_exit(context, *record, status, crashed, again || context.host_shutdown))
        context.deps.runtime.forget_exit(context.run_dir(name));
    context.cpus.release(name);
    context.live.stopped(name);
    rebalance_cpus(context);
    if (!record) return;
    if (crashed) log_failure(context, name, "PID 1 ended by itself: " + status.detail);
    if (!live.being_stopped && !reboot) {
        const nlohmann::json detail{{"exit", status.detail}, {"kind", kind_name(status.kind)}};
        context.lifecycle(crashed ? "instance-stopped" : "instance-shutdown", name, "", detail);
    }
    follow_up(context, name, again, record->ephemeral && !again && status.kind != Kind::reboot);
}

}  // namespace lxmgr::instances
