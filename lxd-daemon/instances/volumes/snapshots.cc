#include "lxd-daemon/instances/snapshots.h"

#include <fmt/format.h>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/volumes/block.h"
#include "lxd-daemon/instances/volumes/steps.h"
#include "profiles/snapshot_keys.h"

namespace lxmgr::instances {
namespace {}  // namespace

std::string next_volume_snapshot_name(const Context& context, const database::VolumeRecord& volume) {
    std::string pattern = api::value_of(volume.config, "snapshots.pattern");
    if (pattern.empty()) pattern = "snap%d";
    std::vector<std::string> taken;
    for (const auto& snapshot : context.deps.database.volumes().snapshots(volume.id))
        taken.push_back(snapshot->name);
    return profiles::snapshot_name(pattern, now(), taken);
}

Result<> create_volume_snapshot(Context& context, const VolumeName& name,
                                const api::StorageVolumeSnapshotsPost& post, const std::string& requestor,
                                profiles::SnapshotOrigin origin) {
    auto& database = context.deps.database;
    LX_TRY_AS(const auto volume, require_volume(context, name));
    // That of the volume: the schedule is nobody's request.
    LX_TRY(check_snapshots_allowed(context, api::split_object_key(volume->name).project));
    database::VolumeSnapshotRecord row;
    row.volume_id = volume->id;
    row.name = post.name.empty() ? next_volume_snapshot_name(context, *volume) : post.name;
    LX_TRY(validate_snapshot_name(row.name));
    if (database.volumes().find_snapshot(volume->id, row.name))
        return fail(Status::conflict, fmt::format("Snapshot \"{}\" already in use", row.name));
    row.description = post.description.empty() ? volume->description : post.description;
    row.config = volume->config;
    row.created_at = now();
    if (post.expires_at) {
        row.expires_at = *post.expires_at;
    } else {
        LX_TRY_AS(row.expires_at, profiles::snapshot_expiry(volume->config, origin, row.created_at));
    }
    LX_TRY_AS(NewDirectory fresh, NewDirectory::begin(context, name.pool, snapshot_shape_of(*volume)));
    LX_TRY(copy_volume_now(context, *volume, fresh.place()));
    failpoint("instances.volume.snapshot.made");
    row.volume = fresh.name();
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(database.volumes().create_snapshot(row));
        return fresh.belongs_to_a_row();
    });
    LX_TRY(stored);
    fresh.keep();
    failpoint("instances.volume.snapshot.row");
    context.snapshot_timer.poke();
    volume_lifecycle(context, "storage-volume-snapshot-created", volume_snapshot_url(name, row.name),
                     requestor, {{"type", "custom"}});
    return {};
}

Result<> rename_volume_snapshot(Context& context, const VolumeName& name, const std::string& snapshot,
                                const std::string& new_name, const std::string& requestor) {
    LX_TRY(validate_snapshot_name(new_name));
    LX_TRY_AS(const auto row, require_volume_snapshot(context, name, snapshot));
    database::VolumeSnapshotRecord next = *row;
    next.name = new_name;
    LX_TRY(context.deps.database.volumes().update_snapshot(next));
    volume_lifecycle(context, "storage-volume-snapshot-renamed", volume_snapshot_url(name, new_name),
                     requestor, {{"old_name", snapshot}});
    return {};
}

Result<> update_volume_snapshot(Context& context, const VolumeName& name, const std::string& snapshot,
                                const api::StorageVolumeSnapshotPut& put, const std::string& requestor) {
    LX_TRY_AS(const auto row, require_volume_snapshot(context, name, snapshot));
    database::VolumeSnapshotRecord next = *row;
    if (put.description) next.description = *put.description;
    if (put.expires_at) next.expires_at = *put.expires_at;
    LX_TRY(context.deps.database.volumes().update_snapshot(next));
    context.snapshot_timer.poke();
    volume_lifecycle(context, "storage-volume-snapshot-updated", volume_snapshot_url(name, snapshot),
                     requestor);
    return {};
}

Result<> delete_volume_snapshot(Context& context, const VolumeName& name, const std::string& snapshot,
                                const std::string& requestor) {
    auto& database = context.deps.database;
    LX_TRY_AS(const auto row, require_volume_snapshot(context, name, snapshot));
    DoomedDirectories doomed(context);
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(doomed.doom(name.pool, row->volume));
        return database.volumes().remove_snapshot(*row);
    });
    LX_TRY(stored);
    failpoint("instances.volume.snapshot.gone");
    doomed.remove();
    volume_lifecycle(context, "storage-volume-snapshot-deleted", volume_snapshot_url(name, snapshot),
                     requestor);
    return {};
}

}  // namespace lxmgr::instances
