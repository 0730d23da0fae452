#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/copies.h"
#include "lxd-daemon/instances/snapshots.h"
#include "storage/transfer.h"

namespace lxmgr::instances {

Result<> copy_snapshot_volume(Context& context, const Place& from, const Place& to) {
    LX_TRY_AS(const DriverPtr source, context.deps.pools.driver(from.pool));
    LX_TRY_AS(const DriverPtr target, context.deps.pools.driver(to.pool));
    if (source == target) return target->create_copy(to.volume, from.volume, {});
    return storage::transfer_volume(*source, from.volume, *target, to.volume,
                                    context.deps.pools.copy_rate({from.pool, to.pool}));
}

Result<> copy_root_to(Context& context, const database::InstanceRecord& record, const Place& to) {
    LX_TRY_AS(const DriverPtr source, context.deps.pools.driver(record.pool));
    if (record.pool == to.pool) return copy_root(context, record, *source, to.volume);
    // Through a snapshot: a root that is in use cannot be mounted a second time, and it goes on changing.
    const Place moment{record.pool, new_snapshot_volume()};
    LX_TRY(copy_root(context, record, *source, moment.volume));
    failpoint("instances.copy.moment");
    auto copied = copy_snapshot_volume(context, moment, to);
    delete_snapshot_volume(context, moment.pool, moment.volume.name);
    return copied;
}

NewSnapshots::~NewSnapshots() {
    for (const auto& row : rows_) delete_snapshot_volume(context_, pool_, row.volume);
}

Result<> NewSnapshots::add(const std::string& from_pool, const database::SnapshotRecord& snapshot,
                           bool other_instance) {
    const auto volume = new_snapshot_volume();
    LX_TRY(copy_snapshot_volume(context_, {from_pool, {storage::VolumeType::snapshot, snapshot.volume}},
                                {pool_, volume}));
    auto& row = rows_.emplace_back(snapshot);
    row.volume = volume.name;
    if (from_pool != pool_) follow_to_pool(context_, row, pool_);
    if (other_instance) {
        std::erase_if(row.config, [](const auto& entry) {
            return entry.first.starts_with("volatile.") && entry.first != "volatile.base_image";
        });
        row.config["volatile.apply_template"] = "copy";
    }
    failpoint("instances.copy.snapshot");
    return {};
}

Result<> NewSnapshots::store(std::int64_t instance_id) {
    for (auto& row : rows_) {
        row.instance_id = instance_id;
        LX_TRY(context_.deps.database.snapshots().create(row));
    }
    return {};
}

}  // namespace lxmgr::instances
