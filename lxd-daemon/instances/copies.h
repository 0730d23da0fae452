#pragma once
#include <string>

#include "lxd-daemon/instances/context.h"

/// Private to the room: copies of instances, moves between pools, rebuilding.
namespace lxmgr::instances {

/// What POST /1.0/instances with source "copy" was turned into.
struct CopyPlan {
    database::InstanceRecord record;  ///< the new instance; with `refresh`, only its name counts
    std::string source;
    std::string snapshot;  ///< of the source; empty: the source as it is now
    bool with_snapshots = true;
    bool refresh = false;  ///< the target exists and gets the source's content
    bool start = false;
    std::string requestor;
};
Result<CopyPlan> plan_copy(Context& context, api::InstancesPost post);

// Blocking steps; the caller's operation holds the locks of both instances.
Result<> copy_instance(Context& context, const CopyPlan& plan);
/// Gives a stopped instance the content of another one and the snapshots it lacks; snapshots that the source
/// has not, or made at another time, go. Config and devices stay.
Result<> refresh_instance(Context& context, const CopyPlan& plan);

/// Moves a stopped instance with its snapshots to another pool: its root device then names that pool.
Result<> move_to_pool(Context& context, const std::string& name, const std::string& pool, bool with_snapshots,
                      const std::string& requestor);
/// After a crash: the pool that the row does not name loses its volume.
Result<> finish_move(Context& context, const database::IntentRecord& interrupted);

/// Replaces the root of a stopped instance by an image's, or by an empty one (empty fingerprint).
Result<> rebuild_instance(Context& context, const std::string& name, const std::string& fingerprint,
                          operations::Operation& operation, std::stop_token stop,
                          const std::string& requestor);
Result<> redo_rebuild(Context& context, const database::IntentRecord& interrupted);

/// A volume of one pool.
struct Place {
    std::string pool;
    storage::Volume volume;
};
/// Copies a snapshot volume, within its pool or to another.
Result<> copy_snapshot_volume(Context& context, const Place& from, const Place& to);
/// Copies an instance's root as it is at one moment, within its pool or to another.
Result<> copy_root_to(Context& context, const database::InstanceRecord& record, const Place& to);

/// Lets a snapshot's root device name the pool it is in from now on, or restoring it would look for its root
/// in the old one.
void follow_to_pool(const Context& context, database::SnapshotRecord& snapshot, const std::string& pool);

/// Volumes made for rows that are not stored yet: removed again unless kept.
class NewSnapshots {
public:
    NewSnapshots(Context& context, std::string pool) : context_(context), pool_(std::move(pool)) {}
    NewSnapshots(NewSnapshots&&) = delete;
    ~NewSnapshots();
    /// Copies the volume of a snapshot that is in `from_pool`; its row is completed by store().
    /// @param other_instance  it becomes another instance's, which has its own identity
    Result<> add(const std::string& from_pool, const database::SnapshotRecord& snapshot, bool other_instance);
    /// Stores all rows; inside a transaction.
    Result<> store(std::int64_t instance_id);
    void keep() { rows_.clear(); }

private:
    Context& context_;
    std::string pool_;
    std::vector<database::SnapshotRecord> rows_;
};

}  // namespace lxmgr::instances
