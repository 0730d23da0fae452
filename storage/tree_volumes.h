#pragma once
#include <string>

#include "storage/abilities.h"
#include "storage/limits/volume_limits.h"
#include "storage/pool_directory.h"
#include "storage/tree/id_shift.h"

namespace lxmgr::storage {

/// Volumes that are a directory with a plain tree in its "rootfs": all of the dir driver's, and those of
/// others that share nothing. Thread-safe for different volumes.
class TreeVolumes {
public:
    /// All stay owned by the caller.
    TreeVolumes(PoolDirectory& pool, const VolumeLimits& limits, sys::IdmapCache& idmaps,
                Abilities& abilities)
        : pool_(pool), limits_(limits), idmaps_(idmaps), abilities_(abilities) {}

    /// A draft whose tree was filled; with `durable`, its contents are on the disk.
    Result<Draft> make(const Volume& volume, const Filler& fill, bool durable);
    Result<> create(const Volume& volume, const Filler& fill);
    /// As Driver::create_copy(), for sources that hold a tree of their own.
    Result<> copy(const Volume& volume, const Volume& source, const std::function<void()>& source_read);
    Result<MountedVolume> mount(const Volume& volume, const MountRequest& request);
    Result<std::uint64_t> usage_bytes(const Volume& volume);
    Result<> resize(const Volume& volume, bool in_use);
    Result<std::uint64_t> limit(const Volume& volume);
    Result<> remove(const Volume& volume);

private:
    /// Rewrites the ids on disk from one map to another, through a copy: whole or not at all.
    Result<> rewrite_ids(const Volume& volume, int volume_fd, const sys::IdMap* from, const sys::IdMap* to);
    /// Puts a copy that was made with other ids or another limit in the volume's place.
    Result<> remake(const Volume& volume, int volume_fd, const IdShift* shift, const sys::IdMap* carried);

    PoolDirectory& pool_;
    const VolumeLimits& limits_;
    sys::IdmapCache& idmaps_;
    Abilities& abilities_;
};

/// As VolumeLimits::change(); `bad_request` also when the contents would have to be made anew and are in use.
Result<bool> change_limit(const VolumeLimits& limits, const Volume& volume, int volume_fd, bool in_use);

/// Opens DIR_FD/NAME for reading its tree.
Result<UniqueFd> open_tree_root(int dir_fd, const char* name);

/// Errors: `bad_request` when the request forbids to rewrite ids.
Result<> require_rewriting(const MountRequest& request);

/// Detached clone of DIR_FD/NAME. nullopt: it cannot be idmapped here, and `abilities` now says so.
Result<std::optional<UniqueFd>> clone_idmapped(int dir_fd, const char* name, const sys::IdMap& map,
                                               sys::IdmapCache& idmaps, Abilities& abilities);
/// Idmaps a detached mount. nullopt: as above.
Result<std::optional<UniqueFd>> set_map(UniqueFd root, const sys::IdMap& map, sys::IdmapCache& idmaps,
                                        Abilities& abilities);
Result<MountedVolume> finish_mount(UniqueFd root, const MountRequest& request);

}  // namespace lxmgr::storage
