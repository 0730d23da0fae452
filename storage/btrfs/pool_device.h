#pragma once
#include <cstdint>
#include <string>

#include "storage/driver.h"

/// What a btrfs pool stands on: a file of the daemon's (STATE/disks/NAME.img), a block device, or an existing
/// directory of a mounted btrfs. The first two are mounted at the pool's directory, and are so again after a
/// restart of the host.
namespace lxmgr::storage {

enum class PoolKind { file, device, directory };
struct PoolSource {
    PoolKind kind = PoolKind::directory;
    std::string path;
};
/// Errors: `bad_request`.
Result<PoolSource> pool_source_of(const PoolConfig& config);

/// Fills in what the request left open, and formats. What it made is undone when it fails.
Result<> prepare_pool(PoolConfig& config);
/// Mounts unless it is mounted already, whoever did.
Result<> mount_pool(const PoolConfig& config);
/// The opposite of both, for whatever was reached of them; nothing may use it. Not of a directory.
Result<> discard_pool(const PoolConfig& config);
/// Makes a file's pool larger while it is mounted. Errors: `bad_request` for less than it has.
Result<> grow_pool(const PoolConfig& config);
/// Gives the mount the options of `after` in place of those of `before`, at once. Errors: `bad_request`.
Result<> remount_pool(const PoolConfig& before, const PoolConfig& after);

}  // namespace lxmgr::storage
