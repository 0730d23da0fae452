#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/kept_addresses.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/steps.h"
#include "lxd-daemon/instances/volume_size.h"

namespace lxmgr::instances {
namespace {

/// What belongs to the instance and not to its state at a time; the MAC addresses come back with the rest.
bool stays(const std::string& key) {
    return key.starts_with("volatile.") && !key.ends_with(".hwaddr") && key != "volatile.apply_template" &&
           key != "volatile.base_image" && key != "volatile.cloud-init.instance-id";
}

/// The instance as it was; checked as every update is.
Result<database::InstanceRecord> restored(Context& context, const database::InstanceRecord& current,
                                          const database::SnapshotRecord& snapshot) {
    database::InstanceRecord out = current;
    out.description = snapshot.description;
    out.architecture = snapshot.architecture;
    out.ephemeral = snapshot.ephemeral;
    // Since then it may have come here from another project.
    out.profiles = profiles_there(context, project_of(current), snapshot.profiles);
    out.devices = snapshot.devices;
    out.config.clear();
    for (const auto& [key, value] : snapshot.config) {
        if (!stays(key)) out.config[key] = value;
    }
    for (const auto& [key, value] : current.config) {
        if (stays(key)) out.config[key] = value;
        // A snapshot that came with a copy has none.
        if (key.starts_with("volatile.") && key.ends_with(".hwaddr")) out.config.emplace(key, value);
    }
    LX_TRY(check_record(context, out));
    forget_gone_nics(expand(context, current).devices, expand(context, out).devices, out.config);
    return out;
}

/// Of a stopped instance: its new root is made, then it is put in place together with the row.
Result<> replace(Context& context, const std::string& instance, const database::SnapshotRecord& snapshot,
                 const storage::Volume& fresh, std::int64_t intent) {
    LX_TRY_AS(const auto record, require(context, instance));  // anew: its end changed it
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record->pool));
    LX_TRY_AS(const auto after, restored(context, *record, snapshot));
    return in_room_for(fmt::format("instance '{}'", instance),
                       replace_root(context, after, *driver, fresh, intent));
}

}  // namespace

Result<> restore_snapshot(Context& context, const std::string& instance, const std::string& snapshot,
                          const std::string& requestor) {
    LX_TRY_AS(const auto record, require(context, instance));
    LX_TRY_AS(const auto row, require_snapshot(context, instance, snapshot));
    LX_TRY_AS(const auto wanted, restored(context, *record, *row));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record->pool));
    const auto fresh = as_root(context, wanted, new_snapshot_volume());
    LX_TRY(in_room_for(fmt::format("instance '{}'", instance),
                       driver->create_copy(fresh, {storage::VolumeType::snapshot, row->volume}, {})));
    Revert undo;
    undo.add([&] { delete_snapshot_volume(context, record->pool, fresh.name); });
    failpoint("instances.restore.copied");
    auto& intents = context.deps.database.intents();
    const bool running = context.live.get(instance).status != api::StatusCode::stopped;
    LX_TRY_AS(const auto intent, intents.add("restore-instance", {{"name", instance},
                                                                  {"snapshot", snapshot},
                                                                  {"start", running ? "true" : "false"}}));
    undo.add([&] {
        if (auto removed = intents.remove(intent); !removed)
            log::error("intent left", {{"error", removed.error().message}});
    });
    failpoint("instances.restore.intent");
    if (running) {
        auto ended = stop_instance(context, instance, true, std::nullopt, requestor, {});
        // By itself, a moment before.
        if (!ended && context.live.get(instance).status != api::StatusCode::stopped) return ended;
    }
    failpoint("instances.restore.stopped");
    auto replaced = replace(context, instance, *row, fresh, intent);
    if (!replaced) {
        if (running && !start_instance(context, instance, requestor))
            log::error("instance not started again", {{"instance", instance}});
        return replaced;
    }
    undo.commit();
    failpoint("instances.restore.done");
    settle_addresses(context, instance);
    context.snapshot_timer.poke();
    context.lifecycle("instance-restored", instance, requestor, {{"snapshot", snapshot}});
    return running ? start_instance(context, instance, requestor) : Result<>{};
}

namespace {

/// Of an instance that the last daemon may have killed already: it is stopped, restored and started, in the
/// background, since its end is only heard of when the recovery is over.
Result<> restore_running(Context& context, const database::IntentRecord& interrupted) {
    const std::string instance = interrupted.details.at("name");
    auto request = request_for("Restoring snapshot", instance, "");
    request.body = step([&context, instance, snapshot = interrupted.details.at("snapshot"),
                         intent = interrupted.id](std::stop_token) -> Result<> {
        auto done = restore_snapshot(context, instance, snapshot, "");
        if (context.live.get(instance).status == api::StatusCode::stopped) {
            auto started = start_instance(context, instance, "");
            if (done) done = std::move(started);
        }
        // Whatever came of it: a later daemon must not go back to the snapshot once more.
        LX_TRY(context.deps.database.intents().remove(intent));
        return done;
    });
    LX_TRY(context.deps.operations.start(std::move(request)));
    return {};
}

}  // namespace

Result<bool> redo_restore(Context& context, const database::IntentRecord& interrupted) {
    const std::string& instance = interrupted.details.at("name");
    const auto record = context.rows().find(instance);
    const auto row =
        record ? context.deps.database.snapshots().find(record->id, interrupted.details.at("snapshot"))
               : nullptr;
    if (!row) return true;
    if (context.live.get(instance).status != api::StatusCode::stopped) {
        LX_TRY(restore_running(context, interrupted));
        return false;
    }
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record->pool));
    LX_TRY_AS(auto after, restored(context, *record, *row));
    const auto fresh = as_root(context, after, new_snapshot_volume());
    LX_TRY(driver->create_copy(fresh, {storage::VolumeType::snapshot, row->volume}, {}));
    if (interrupted.details.at("start") == "true")
        after.config["volatile.last_state.power"] = "RUNNING";  // autostart does the rest
    LX_TRY(replace_root(context, after, *driver, fresh, interrupted.id));
    return true;
}

}  // namespace lxmgr::instances
