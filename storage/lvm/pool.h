#pragma once
#include "storage/driver.h"
#include "storage/lvm/volume_group.h"

/// What an lvm pool stands on: a file of the daemon's (STATE/disks/NAME.img), a block device, or an existing
/// volume group. In the group there is one small logical volume that is mounted at the pool's directory: it
/// holds the directories of the volumes, so that the group alone is the whole pool.
namespace lxmgr::storage {

enum class LvmKind { file, device, group };
struct LvmPlace {
    LvmKind kind = LvmKind::file;
    std::string path;  ///< of the file or device
    VolumeGroup group;
};
/// Errors: `bad_request`.
Result<LvmPlace> lvm_place_of(const PoolConfig& config);

Result<> prepare_lvm_pool(PoolConfig& config);
/// Mounts unless it is mounted already, whoever did.
Result<> mount_lvm_pool(const PoolConfig& config);
Result<> discard_lvm_pool(const PoolConfig& config);
/// Gives the group and its thin pool what the pool's file, made longer, has more.
Result<> grow_lvm_pool(const PoolConfig& config);

}  // namespace lxmgr::storage
