#pragma once
#include <map>
#include <string>
#include <vector>

#include "lxd-daemon/api/storage_pool.h"
#include "lxd-daemon/instances/context.h"

/// Private to the room: what notes say of the volumes of a pool that no row knows. Notes are from outside:
/// whoever brings a disk brings its notes.
namespace lxmgr::instances {

struct LostInstance {
    database::InstanceRecord record;
    std::vector<database::SnapshotRecord> snapshots;  ///< oldest first
    std::vector<database::ProfileRecord> profiles;    ///< as they were
    std::string metadata;                             ///< empty: none
};
struct LostVolume {
    database::VolumeRecord record;
    std::vector<database::VolumeSnapshotRecord> snapshots;
};
struct Lost {
    std::vector<LostInstance> instances;
    std::vector<LostVolume> volumes;
    std::vector<std::string> errors;  ///< of what cannot come back, sentences
};
/// @param pool  its name
Result<Lost> find_lost(Context& context, const std::string& pool, storage::Driver& driver);

/// Pools whose directories are there and whose rows are not, as far as a note says what they are.
std::vector<api::StoragePoolsPost> find_lost_pools(const Context& context);

/// True for the volume of a snapshot whose instance is lost, too: it is not useless.
bool is_of_lost_instance(Context& context, const std::string& pool, storage::Driver& driver,
                         const std::string& snapshot_volume);

}  // namespace lxmgr::instances
