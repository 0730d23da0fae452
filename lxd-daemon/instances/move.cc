#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/copies.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/volume_size.h"

namespace lxmgr::instances {
namespace {

/// The devices with the root disk, which may come from a profile, in another pool.
Result<api::DeviceMap> with_root_in(const Context& context, const database::InstanceRecord& record,
                                    const std::string& pool) {
    const auto expanded = expand(context, record);
    LX_TRY_AS(const auto root, root_disk(expanded.devices));
    api::DeviceMap devices = record.devices;
    devices[root.first] = expanded.devices.at(root.first);
    devices[root.first]["pool"] = pool;
    return devices;
}

Result<database::InstanceRecord> moved_record(Context& context, const database::InstanceRecord& record,
                                              const std::string& pool) {
    database::InstanceRecord out = record;
    LX_TRY_AS(out.devices, with_root_in(context, record, pool));
    out.pool = pool;
    LX_TRY(check_record(context, out));
    return out;
}

}  // namespace

void follow_to_pool(const Context& context, database::SnapshotRecord& snapshot, const std::string& pool) {
    database::InstanceRecord then;
    then.config = snapshot.config;
    then.devices = snapshot.devices;
    then.profiles = snapshot.profiles;
    if (auto devices = with_root_in(context, then, pool)) snapshot.devices = *std::move(devices);
}

Result<> move_to_pool(Context& context, const std::string& name, const std::string& pool, bool with_snapshots,
                      const std::string& requestor) {
    LX_TRY_AS(const auto record, require(context, name));
    if (context.live.get(name).status != api::StatusCode::stopped)
        return fail(Status::bad_request, "Instance must be stopped to be moved to another pool");
    if (record->pool == pool)
        return fail(Status::bad_request, fmt::format("Instance '{}' is in pool '{}' already", name, pool));
    LX_TRY_AS(const DriverPtr target, context.deps.pools.driver(pool));  // held until a row names the pool
    LX_TRY_AS(const auto after, moved_record(context, *record, pool));
    auto& database = context.deps.database;
    LX_TRY_AS(const auto intent,
              database.intents().add("move-instance",
                                     {{"name", name}, {"pool", record->pool}, {"new_pool", pool}}));
    const storage::Volume root = new_root(context, after);
    const auto end = [&]() -> Result<> {
        LX_TRY(
            finish_move(context, {intent, "", {{"name", name}, {"pool", record->pool}, {"new_pool", pool}}}));
        return database.intents().remove(intent);
    };
    Revert undo;
    undo.add([&] {
        if (auto ended = end(); !ended) log::error("move not undone", {{"error", ended.error().message}});
    });
    failpoint("instances.move.intent");
    LX_TRY(in_room_for(fmt::format("instance '{}'", name), copy_root_to(context, *record, {pool, root})));
    failpoint("instances.move.volume");
    const auto old = database.snapshots().list(record->id);
    NewSnapshots snapshots(context, pool);
    if (with_snapshots) {
        for (const auto& snapshot : old) LX_TRY(snapshots.add(record->pool, *snapshot, false));
    }
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(context.rows().update(after));
        for (const auto& snapshot : old) LX_TRY(database.snapshots().remove(record->id, snapshot->name));
        return snapshots.store(record->id);
    });
    LX_TRY(stored);
    snapshots.keep();
    undo.commit();
    context.stopped_roots.forget(record->id);
    failpoint("instances.move.row");
    for (const auto& snapshot : old) delete_snapshot_volume(context, record->pool, snapshot->volume);
    LX_TRY(end());
    context.lifecycle("instance-updated", name, requestor, {{"storage-pool", pool}});
    return {};
}

Result<> finish_move(Context& context, const database::IntentRecord& interrupted) {
    const std::string& name = interrupted.details.at("name");
    const auto record = context.rows().find(name);
    if (!record) return {};
    const std::string& from = interrupted.details.at("pool");
    const std::string& to = interrupted.details.at("new_pool");
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record->pool == to ? from : to));
    return driver->delete_volume({storage::VolumeType::container, name});
}

}  // namespace lxmgr::instances
