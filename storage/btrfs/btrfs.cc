#include "storage/btrfs/btrfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/sys/mount.h"
#include "storage/btrfs/pool_device.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
Result<std::unique_ptr<Driver>> BtrfsDriver::open(const PoolConfig& config, sys::IdmapCache& idmaps) {
    LX_TRY_AS(const auto source, pool_source_of(config));
    PoolConfig directories = config;
    // What is mounted by us is mounted at the pool's own directory.
    if (source.kind != PoolKind::directory) directories.config.erase("source");
    return std::make_unique<BtrfsDriver>(config, std::move(directories), idmaps);
}

Result<> BtrfsDriver::open_pool() {
    LX_TRY(mount_pool(config_));
    LX_TRY(pool_.open());
    LX_TRY_AS(const auto magic, sys::file_system_magic(pool_.layers_fd()));
    if (magic == BTRFS_SUPER_MAGIC) return {};
    return fail(Status::bad_request, fmt::format("Pool '{}' is not on btrfs", config_.name));
}

Result<> BtrfsDriver::delete_pool() {
    LX_TRY_AS(const auto source, pool_source_of(config_));
    if (source.kind == PoolKind::directory) return pool_.remove();
    LX_TRY(pool_.require_empty());
    pool_.close();
    return discard_pool(config_);
}

Result<Draft> BtrfsDriver::snapshot(int source_fd) {
    LX_TRY_AS(const UniqueFd from, reopen_directory(source_fd));
    LX_TRY_AS(Draft draft, pool_.begin_from([&](int tmp_fd, const std::string& name) {
        return snapshot_subvolume(from.get(), tmp_fd, name);
    }));
    failpoint("storage.btrfs.copy.snapshot");
    LX_TRY(snapshot_nested(from.get(), draft.fd()));
    return draft;
}

Result<> BtrfsDriver::create_copy(const Volume& volume, const Volume& source,
                                  const std::function<void()>& source_read) {
    LX_TRY(pool_.require_absent(volume));
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(source));
    auto taken = snapshot(directory.get());
    if (!taken) LX_TRY(pool_.open_volume(source));  // deleted meanwhile: then it is that
    LX_TRY_AS(Draft draft, std::move(taken));
    if (source_read) source_read();
    failpoint("storage.btrfs.copy.nested");
    LX_TRY(limits_.change(volume, draft.fd()));  // the kernel gave it its source's
    LX_TRY(pool_.publish(draft, pool_.fd(volume.type), volume.name));
    failpoint("storage.btrfs.copy.published");
    return {};
}

Result<> BtrfsDriver::reconfigure(const PoolConfig& config) {
    const auto value = [](const PoolConfig& of, const char* key) {
        const auto found = of.config.find(key);
        return found == of.config.end() ? std::string() : found->second;
    };
    LX_TRY_AS(const auto source, pool_source_of(config));
    if (value(config, "size") != value(config_, "size")) {
        if (source.kind != PoolKind::file)
            return fail(Status::bad_request, "size is only for a pool in a file of its own");
        LX_TRY(grow_pool(config));
    }
    if (value(config, "btrfs.mount_options") != value(config_, "btrfs.mount_options"))
        LX_TRY(remount_pool(config_, config));
    config_ = config;
    return {};
}

}  // namespace lxmgr::storage
