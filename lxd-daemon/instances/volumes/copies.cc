#include <fmt/format.h>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/freeze.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/volumes/block.h"
#include "lxd-daemon/instances/volumes/steps.h"
#include "lxd-daemon/instances/volumes/users.h"

namespace lxmgr::instances {
namespace {

Place copy_place_of(const std::string& pool, const std::string& directory) {
    return {pool, {storage::VolumeType::custom, directory}};
}

/// Snapshots copied to a pool whose rows are not stored yet.
class CopiedSnapshots {
public:
    CopiedSnapshots(Context& context, std::string pool, const database::VolumeRecord& volume)
        : context_(context), pool_(std::move(pool)), shape_(snapshot_shape_of(volume)) {}

    Result<> add(const std::string& from_pool, const database::VolumeSnapshotRecord& snapshot) {
        LX_TRY_AS(NewDirectory fresh, NewDirectory::begin(context_, pool_, shape_));
        LX_TRY(copy_snapshot_volume(context_, copy_place_of(from_pool, snapshot.volume), fresh.place()));
        failpoint("instances.volume.copy.snapshot");
        rows_.push_back(snapshot);
        rows_.back().volume = fresh.name();
        context_.deps.pools.drop_foreign_keys(pool_, rows_.back().config);
        directories_.push_back(std::move(fresh));
        return {};
    }
    /// As snapshots of that volume; inside a transaction.
    Result<> store(std::int64_t volume_id) {
        for (auto& row : rows_) {
            row.volume_id = volume_id;
            LX_TRY(context_.deps.database.volumes().create_snapshot(row));
        }
        return known();
    }
    /// In the rows that they were copied from; inside a transaction.
    Result<> replace() {
        for (const auto& row : rows_) LX_TRY(context_.deps.database.volumes().update_snapshot(row));
        return known();
    }
    void keep() {
        for (auto& directory : directories_) directory.keep();
    }

private:
    Result<> known() {
        for (auto& directory : directories_) LX_TRY(directory.belongs_to_a_row());
        return {};
    }
    Context& context_;
    std::string pool_;
    storage::Volume shape_;
    std::vector<database::VolumeSnapshotRecord> rows_;
    std::vector<NewDirectory> directories_;
};

Result<> copy_volume_content(Context& context, const VolumeCopyPlan& plan, const Place& to) {
    LX_TRY_AS(const auto source, require_volume(context, plan.source));
    if (plan.snapshot.empty()) return copy_volume_now(context, *source, to);
    LX_TRY_AS(const auto snapshot, require_volume_snapshot(context, plan.source, plan.snapshot));
    return copy_snapshot_volume(context, copy_place_of(source->pool, snapshot->volume), to);
}

bool is_same(const database::VolumeSnapshotRecord& one, const database::VolumeSnapshotPtr& other) {
    return other && other->created_at == one.created_at;
}

/// Gives a volume the content of another and the snapshots it lacks; those that the source has not, or made
/// at another time, go.
Result<> refresh_volume(Context& context, const VolumeCopyPlan& plan, const database::VolumeRecord& target) {
    auto& database = context.deps.database;
    auto& volumes = database.volumes();
    LX_TRY_AS(const auto source, require_volume(context, plan.source));
    LX_TRY_AS(const auto hold, context.volume_mounts.hold(target.id));
    LX_TRY_AS(NewDirectory fresh, NewDirectory::begin(context, target.pool, shape_of(target)));
    LX_TRY(copy_volume_content(context, plan, fresh.place()));
    CopiedSnapshots added(context, target.pool, target);
    std::vector<database::VolumeSnapshotPtr> gone;
    if (plan.with_snapshots) {
        for (const auto& old : volumes.snapshots(target.id)) {
            if (!is_same(*old, volumes.find_snapshot(source->id, old->name))) gone.push_back(old);
        }
        for (const auto& wanted : volumes.snapshots(source->id)) {
            if (!is_same(*wanted, volumes.find_snapshot(target.id, wanted->name)))
                LX_TRY(added.add(source->pool, *wanted));
        }
    }
    DoomedDirectories doomed(context);
    database::VolumeRecord next = target;
    next.volume = fresh.name();
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(doomed.doom(target.pool, target.volume));
        for (const auto& old : gone) {
            LX_TRY(doomed.doom(target.pool, old->volume));
            LX_TRY(volumes.remove_snapshot(*old));
        }
        LX_TRY(volumes.update(next));
        LX_TRY(added.store(target.id));
        return fresh.belongs_to_a_row();
    });
    LX_TRY(stored);
    fresh.keep();
    added.keep();
    failpoint("instances.volume.refresh.row");
    doomed.remove();
    context.snapshot_timer.poke();
    return {};
}

Result<> rename_volume(Context& context, const database::VolumeRecord& row, const std::string& new_name) {
    auto& database = context.deps.database;
    database::VolumeRecord next = row;
    next.name = new_name;
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(check_in_project(context, next));
        LX_TRY(database.volumes().update(next));
        return redirect_users(database, row, next);
    });
    LX_TRY(stored);
    failpoint("instances.volume.rename.row");
    return {};
}

Result<> move_to_other_pool(Context& context, const database::VolumeRecord& row, const VolumeName& to,
                            bool with_snapshots) {
    auto& database = context.deps.database;
    auto& volumes = database.volumes();
    LX_TRY_AS(NewDirectory fresh, NewDirectory::begin(context, to.pool, shape_of(row)));
    LX_TRY(copy_snapshot_volume(context, copy_place_of(row.pool, row.volume), fresh.place()));
    const auto old_snapshots = volumes.snapshots(row.id);
    CopiedSnapshots moved(context, to.pool, row);
    if (with_snapshots) {
        for (const auto& snapshot : old_snapshots) LX_TRY(moved.add(row.pool, *snapshot));
    }
    DoomedDirectories doomed(context);
    database::VolumeRecord next = row;
    next.pool = to.pool;
    next.name = to.name;
    next.volume = fresh.name();
    context.deps.pools.drop_foreign_keys(to.pool, next.config);
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(doomed.doom(row.pool, row.volume));
        for (const auto& snapshot : old_snapshots) {
            LX_TRY(doomed.doom(row.pool, snapshot->volume));
            if (!with_snapshots) LX_TRY(volumes.remove_snapshot(*snapshot));
        }
        LX_TRY(check_in_project(context, next));
        LX_TRY(volumes.update(next));
        LX_TRY(moved.replace());
        LX_TRY(redirect_users(database, row, next));
        return fresh.belongs_to_a_row();
    });
    LX_TRY(stored);
    fresh.keep();
    moved.keep();
    failpoint("instances.volume.move.row");
    doomed.remove();
    return {};
}

}  // namespace

Result<> copy_volume_now(Context& context, const database::VolumeRecord& source, const Place& to) {
    LX_TRY(context.volume_mounts.require_free(source.id));
    const Place from = copy_place_of(source.pool, source.volume);
    const auto users = context.volume_mounts.instances(source.id);
    if (from.pool == to.pool) {
        LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(source.pool));
        Freeze freeze(context, users);
        LX_TRY(freeze.begin());
        return driver->create_copy(to.volume, from.volume, [&freeze] { freeze.end(); });
    }
    if (users.empty()) return copy_snapshot_volume(context, from, to);
    // Another pool takes long: the users wait only for a copy within this one.
    LX_TRY_AS(const NewDirectory moment,
              NewDirectory::begin(context, source.pool, snapshot_shape_of(source)));
    LX_TRY(copy_volume_now(context, source, moment.place()));
    return copy_snapshot_volume(context, moment.place(), to);
}

Result<> copy_volume(Context& context, const VolumeCopyPlan& plan, const std::string& requestor) {
    auto& database = context.deps.database;
    LX_TRY_AS(const auto source, require_volume(context, plan.source));
    database::VolumeRecord record = plan.record;
    const auto target = database.volumes().find(record.pool, record.name);
    if (target && plan.refresh) return refresh_volume(context, plan, *target);
    if (target) return fail(Status::conflict, "Volume by that name already exists");
    LX_TRY_AS(NewDirectory fresh, NewDirectory::begin(context, record.pool, shape_of(record)));
    LX_TRY(copy_volume_content(context, plan, fresh.place()));
    failpoint("instances.volume.copy.made");
    CopiedSnapshots snapshots(context, record.pool, record);
    if (plan.with_snapshots && plan.snapshot.empty()) {
        for (const auto& snapshot : database.volumes().snapshots(source->id))
            LX_TRY(snapshots.add(source->pool, *snapshot));
    }
    record.volume = fresh.name();
    record.created_at = now();
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(check_in_project(context, record));
        LX_TRY_AS(const auto row, database.volumes().create(record));
        LX_TRY(snapshots.store(row->id));
        return fresh.belongs_to_a_row();
    });
    LX_TRY(stored);
    fresh.keep();
    snapshots.keep();
    failpoint("instances.volume.copy.row");
    context.snapshot_timer.poke();
    volume_lifecycle(context, "storage-volume-created", volume_url({record.pool, record.name}), requestor,
                     {{"type", "custom"}});
    return {};
}

Result<> move_volume(Context& context, const VolumeName& from, const VolumeName& to, bool with_snapshots,
                     const std::string& requestor) {
    LX_TRY_AS(const auto row, require_volume(context, from));
    if (context.deps.database.volumes().find(to.pool, to.name))
        return fail(Status::conflict, "Volume by that name already exists");
    LX_TRY_AS(const auto hold, context.volume_mounts.hold(row->id));
    const bool leaves = api::split_object_key(from.name).project != api::split_object_key(to.name).project;
    if (leaves && !VolumeUserIndex(context.deps.database).of(from.pool, from.name).empty())
        return fail(Status::bad_request, "The storage volume is in use: it cannot leave its project");
    database::VolumeRecord there = *row;
    there.pool = to.pool;
    there.name = to.name;
    LX_TRY(check_in_project(context, there));
    LX_TRY(from.pool == to.pool ? rename_volume(context, *row, to.name)
                                : move_to_other_pool(context, *row, to, with_snapshots));
    volume_lifecycle(context, "storage-volume-renamed", volume_url(to), requestor,
                     {{"old_name", api::plain_name(from.name)}, {"old_pool", from.pool}});
    return {};
}

}  // namespace lxmgr::instances
