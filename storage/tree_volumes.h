#pragma once
#include <string>

#include "storage/abilities.h"
#include "storage/pool_directory.h"

namespace lxmgr::storage {

/// Volumes that are a directory with a plain tree in its "rootfs": all of the dir driver's, and those of
/// others that share nothing. Thread-safe for different volumes.
class TreeVolumes {
public:
    /// All stay owned by the caller.
    TreeVolumes(PoolDirectory& pool, sys::IdmapCache& idmaps, Abilities& abilities)
        : pool_(pool), idmaps_(idmaps), abilities_(abilities) {}

    /// A draft whose rootfs was filled; with `durable`, its contents are on the disk.
    Result<Draft> make(const Filler& fill, bool durable);
    Result<> create(const Volume& volume, const Filler& fill);
    Result<MountedVolume> mount(const Volume& volume, const MountRequest& request);
    Result<std::uint64_t> usage_bytes(const Volume& volume);

private:
    Result<> require_absent(const Volume& volume) const;
    /// Rewrites the ids on disk from one map to another, through a copy: whole or not at all.
    Result<> rewrite_ids(const Volume& volume, int volume_fd, const sys::IdMap* from, const sys::IdMap* to);

    PoolDirectory& pool_;
    sys::IdmapCache& idmaps_;
    Abilities& abilities_;
};

/// Opens DIR_FD/NAME for reading its tree.
Result<UniqueFd> open_tree_root(int dir_fd, const char* name);

/// Errors: `bad_request` when the request forbids to rewrite ids.
Result<> require_rewriting(const MountRequest& request);

/// Detached clone of DIR_FD/NAME. nullopt: it cannot be idmapped here, and `abilities` now says so.
Result<std::optional<UniqueFd>> clone_idmapped(int dir_fd, const char* name, const sys::IdMap& map,
                                               sys::IdmapCache& idmaps, Abilities& abilities);
Result<MountedVolume> finish_mount(UniqueFd root, const MountRequest& request);

}  // namespace lxmgr::storage
