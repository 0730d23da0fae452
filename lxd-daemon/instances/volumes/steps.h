#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/api/storage_volume.h"
#include "lxd-daemon/devices/device.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/volumes/directories.h"
#include "lxd-daemon/instances/volumes/service.h"
#include "profiles/snapshot_keys.h"

/// Private to the room: blocking steps on custom volumes; the caller's operation holds the volume's lock.
namespace lxmgr::instances {

/// `not_found` "Storage volume not found".
Result<database::VolumePtr> require_volume(const Context& context, const VolumeName& name);
/// `not_found` "Storage volume snapshot not found".
Result<database::VolumeSnapshotPtr> require_volume_snapshot(const Context& context, const VolumeName& name,
                                                            const std::string& snapshot);
/// Where LXD's volumes say which ids their files have on its disk: a JSON list, "[]" for those inside.
inline constexpr const char* kVolumeIdmapKey = "volatile.idmap.last";
/// LXD's own notes on a volume that was attached there mean nothing here.
void drop_volatile(api::ConfigMap& config);
/// Publishes a lifecycle event about what has this URL.
void volume_lifecycle(const Context& context, const std::string& action, const std::string& url,
                      const std::string& requestor, const nlohmann::json& more = nullptr);

Result<> create_volume(Context& context, database::VolumeRecord record, const std::string& requestor);
Result<> update_volume(Context& context, const VolumeName& name, const api::StorageVolumePut& put,
                       const std::string& requestor);
Result<> delete_volume(Context& context, const VolumeName& name, const std::string& requestor);
/// Gives the volume the content that it had; refused while a running instance has it.
Result<> restore_volume(Context& context, const VolumeName& name, const std::string& snapshot,
                        const std::string& requestor);

struct VolumeCopyPlan {
    database::VolumeRecord record;  ///< the new volume; with `refresh` only its names count when it exists
    VolumeName source;
    std::string snapshot;  ///< of the source; empty: the source as it is now
    bool with_snapshots = true;
    bool refresh = false;
};
Result<> copy_volume(Context& context, const VolumeCopyPlan& plan, const std::string& requestor);
/// To another name, another pool, or both: all devices that name it follow.
Result<> move_volume(Context& context, const VolumeName& from, const VolumeName& to, bool with_snapshots,
                     const std::string& requestor);
/// Copies a volume as it is at one moment: running instances that have it are frozen meanwhile.
Result<> copy_volume_now(Context& context, const database::VolumeRecord& source, const Place& to);

/// The name that snapshots.pattern gives now.
std::string next_volume_snapshot_name(const Context& context, const database::VolumeRecord& volume);
Result<> create_volume_snapshot(Context& context, const VolumeName& name,
                                const api::StorageVolumeSnapshotsPost& post, const std::string& requestor,
                                profiles::SnapshotOrigin origin = profiles::SnapshotOrigin::hand);
Result<> rename_volume_snapshot(Context& context, const VolumeName& name, const std::string& snapshot,
                                const std::string& new_name, const std::string& requestor);
Result<> update_volume_snapshot(Context& context, const VolumeName& name, const std::string& snapshot,
                                const api::StorageVolumeSnapshotPut& put, const std::string& requestor);
Result<> delete_volume_snapshot(Context& context, const VolumeName& name, const std::string& snapshot,
                                const std::string& requestor);

/// `bad_request` for a volume that no container can have.
Result<> check_attachable(const Context& context, const database::VolumeRecord& row);
/// The volume that a device of an instance names; null: there is none.
database::VolumePtr find_used_volume(const Context& context, const devices::VolumeUse& use);
/// For a device of an instance: the mount, noted as in use.
Result<UniqueFd> mount_custom_volume(Context& context, const devices::VolumeUse& use,
                                     const sys::IdMap& idmap);

/// An operation on a volume; it holds the locks of its users too when `with_users`.
operations::Request volume_request(Context& context, std::string description, const VolumeName& name,
                                   const std::string& requestor, bool with_users);

/// What the snapshot timer does with volumes. Each gives when it is to be called again; the epoch: never.
Time make_scheduled_volume_snapshots(Context& context, Time checked, Time time);
Time expire_volume_snapshots(Context& context, Time time, std::map<std::int64_t, Time>& attempts);

}  // namespace lxmgr::instances
