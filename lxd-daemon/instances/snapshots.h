#pragma once
#include <functional>
#include <optional>
#include <string>

#include "lxd-daemon/api/instance_snapshot.h"
#include "lxd-daemon/instances/context.h"
#include "profiles/snapshot_keys.h"

/// Private to the room: snapshots, and what copies, restoring and rebuilding share with them. A snapshot
/// volume is named by an id that only its row knows; a volume that no row knows is rubbish of a crash, and
/// recovery removes it. So a volume is made first and its row second, and a row goes before its volume.
namespace lxmgr::instances {

/// "X/snapshots/S", the part of its URL after /1.0/instances/.
std::string snapshot_url(const std::string& instance, const std::string& snapshot);
/// `not_found` "Instance snapshot not found".
Result<database::SnapshotPtr> require_snapshot(const Context& context, const std::string& instance,
                                               const std::string& snapshot);
api::InstanceSnapshot view(const Context& context, const database::SnapshotRecord& record);

// Blocking steps; the caller's operation holds the lock "instance:NAME".
Result<> create_snapshot(Context& context, const std::string& instance,
                         const api::InstanceSnapshotsPost& post, const std::string& requestor,
                         profiles::SnapshotOrigin origin = profiles::SnapshotOrigin::hand);
Result<> delete_snapshot(Context& context, const std::string& instance, const std::string& snapshot,
                         const std::string& requestor);
Result<> rename_snapshot(Context& context, const std::string& instance, const std::string& snapshot,
                         const std::string& new_name, const std::string& requestor);
Result<> update_snapshot(Context& context, const std::string& instance, const std::string& snapshot,
                         Time expires_at, const std::string& requestor);
/// A running instance is stopped, and started again afterwards.
Result<> restore_snapshot(Context& context, const std::string& instance, const std::string& snapshot,
                          const std::string& requestor);
/// Finishes what a crash interrupted. False: in the background, which removes the intent.
Result<bool> redo_restore(Context& context, const database::IntentRecord& interrupted);

/// 1 to 255 bytes without '/', white space and control characters, not "." or "..".
Result<> validate_snapshot_name(const std::string& name);
/// The name that snapshots.pattern gives now.
std::string next_snapshot_name(const Context& context, const database::InstanceRecord& record,
                               const ExpandedInstance& expanded);

/// A new, unused name for a snapshot volume; also for volumes that live only during an operation.
storage::Volume new_snapshot_volume();
/// Copies an instance's root volume within its pool as it is at one moment: a running instance is frozen
/// until everything has been read. Durable.
Result<> copy_root(Context& context, const database::InstanceRecord& record, storage::Driver& driver,
                   const storage::Volume& to);
/// Unfreezes an instance that was frozen by a copy_root() that a crash interrupted.
Result<> thaw_after_crash(Context& context, const std::string& instance);
/// Failures are logged: recovery removes what is left.
void delete_snapshot_volume(Context& context, const std::string& pool, const std::string& volume);
/// Removes every snapshot volume that no row knows.
void remove_unknown_snapshot_volumes(Context& context);

/// Exchanges a stopped instance's root volume with `fresh`, and stores `record` in one transaction that also
/// ends the intent. The old root is removed.
Result<> replace_root(Context& context, const database::InstanceRecord& record, storage::Driver& driver,
                      const storage::Volume& fresh, std::int64_t intent);

}  // namespace lxmgr::instances
