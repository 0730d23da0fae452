#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/apparmor.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/copies.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/disk_rates.h"
#include "lxd-daemon/instances/guest.h"
#include "lxd-daemon/instances/mount_rules.h"
#include "lxd-daemon/instances/remains.h"
#include "lxd-daemon/instances/settings.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/volume_size.h"
#include "lxd-daemon/instances/volumes/directories.h"

namespace lxmgr::instances {
namespace {

std::string detail(const database::IntentRecord& intent, const char* key) {
    const auto found = intent.details.find(key);
    return found == intent.details.end() ? "" : found->second;
}

/// The row still has the old name: the volume follows it back.
Result<> undo_rename(Context& context, const std::string& pool, const std::string& name,
                     const std::string& new_name) {
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(pool));
    const storage::Volume renamed{storage::VolumeType::container, new_name};
    const bool moved =
        !driver->has_volume({storage::VolumeType::container, name}) && driver->has_volume(renamed);
    return moved ? driver->rename_volume(renamed, name) : Result<>{};
}

Result<> recover_intent(Context& context, const database::IntentRecord& intent) {
    const std::string name = detail(intent, "name");
    const std::string pool = detail(intent, "pool");
    if (intent.kind == "create-instance" || intent.kind == "delete-instance") {
        // A row of this name belongs to a later instance that a finished request made.
        if (!context.rows().find(name)) LX_TRY(remove_remains(context, pool, name));
    } else if (intent.kind == "rename-instance") {
        LX_TRY(undo_rename(context, pool, name, detail(intent, "new_name")));
    } else if (intent.kind == "freeze-instance") {
        LX_TRY(thaw_after_crash(context, name));
    } else if (intent.kind == "restore-instance") {
        LX_TRY_AS(const bool done, redo_restore(context, intent));
        if (!done) return {};
    } else if (intent.kind == "rebuild-instance") {
        LX_TRY(redo_rebuild(context, intent));
    } else if (intent.kind == "move-instance") {
        LX_TRY(finish_move(context, intent));
    } else if (intent.kind == kVolumeDirectoryIntent) {
        LX_TRY(recover_volume_directory(context, intent));
    } else if (intent.kind == kRootResizeIntent) {
        LX_TRY(recover_root_resize(context, intent));
    } else if (intent.kind == kVolumeResizeIntent) {
        LX_TRY(recover_volume_resize(context, intent));
    } else if (intent.kind == kDeviceChangeIntent) {
        LX_TRY(recover_device_change(context, intent));
    } else {
        return {};  // of another room
    }
    log::info("interrupted work was cleaned up after a crash", {{"kind", intent.kind}, {"instance", name}});
    return context.deps.database.intents().remove(intent.id);
}

void recover_one(Context& context, const database::InstanceRecord& record) {
    auto running = context.deps.runtime.recover(record.name, context.run_dir(record.name));
    if (!running) {
        log::error("instance not recovered", {{"instance", record.name}, {"error", running.error().message}});
        return;
    }
    if (!*running) {
        // Its exit may be on its way through the listener; then handle_exit() does the same again,
        // harmlessly.
        release_devices(context, record);
        return;
    }
    const auto expanded = expand(context, record);
    const auto limits = all_limits(context, record, expanded, context.cpus);
    if (limits) {
        // Which CPUs the last daemon gave it is not known, nor which limits of a change that was cut off.
        if (auto set = context.deps.runtime.reset_limits(record.name, *limits); !set)
            log::warn("limits not set", {{"instance", record.name}, {"error", set.error().message}});
    }
    context.live.started(record.name, **running, limits.value_or(runtime::Limits{}));
    recover_guest_ready(context, record);
    recover_devices(context, record);
    context.hot_devices.watch(record.name, expanded.devices);
    if (auto served = recover_guest_api(context, record.name, expanded.config); !served)
        log::warn("guest API not recovered", {{"instance", record.name}, {"error", served.error().message}});
    if (auto written = write_mount_rules(context, record.name, expanded.config); !written)
        log::warn("mount rules not recovered",
                  {{"instance", record.name}, {"error", written.error().message}});
    recover_apparmor(context, record.name, expanded.config);
    const auto power = record.config.find("volatile.last_state.power");
    if (power != record.config.end() && power->second == "RUNNING") return;
    // Killed between the start and its note: reality wins.
    if (auto changed =
            context.rows().change_config(record.name, {{"volatile.last_state.power", "RUNNING"}}, false);
        !changed) {
        log::error("power state not recorded",
                   {{"instance", record.name}, {"error", changed.error().message}});
    }
}

}  // namespace

void recover_intents(Context& context) {
    const auto intents = context.deps.database.intents().list();
    if (!intents) {
        log::error("intents cannot be read", {{"error", intents.error().message}});
        return;
    }
    for (const auto& intent : *intents) {
        if (auto done = recover_intent(context, intent); !done) {
            log::error("interrupted work not cleaned up",
                       {{"kind", intent.kind}, {"error", done.error().message}});
        }
    }
}

void recover_running(Context& context) {
    for (const auto& record : context.rows().list()) recover_one(context, *record);
    for (const auto& name : context.deps.runtime.leftovers()) {
        if (context.rows().find(name)) continue;
        log::warn("removing what is left of an unknown container", {{"name", name}});
        const auto running = context.deps.runtime.recover(name, context.run_dir(name));
        if (!running || !*running) continue;
        if (auto killed = context.deps.runtime.kill(name); !killed) {
            log::error("unknown container not ended", {{"name", name}, {"error", killed.error().message}});
        }
    }
}

}  // namespace lxmgr::instances
