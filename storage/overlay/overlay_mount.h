#pragma once
#include <string>

#include "lxd-daemon/sys/idmap.h"
#include "storage/abilities.h"
#include "storage/overlay/staging.h"

namespace lxmgr::storage {

/// The two mounts an overlay stands on, detached, idmapped or not.
struct OverlayLayers {
    UniqueFd lower;              ///< mount of the image's root
    UniqueFd volume;             ///< mount of the directory that holds upper/ and work/
    std::uint32_t root_uid = 0;  ///< host ids of uid and gid 0 in the layers as these mounts show them
    std::uint32_t root_gid = 0;
    bool trial =
        false;  ///< nothing written here has to last: no syncfs(2) of the whole file system at unmount
};

/// Mounts an overlay with redirect_dir, so that renaming an image's directories works. Detached; writable for
/// sure, since the kernel's silent read-only overlay (workdir not usable) becomes an error here. Linux 6.15
/// takes the layers detached; older kernels through the staging place. Errors: `internal`, with what the
/// kernel said.
Result<UniqueFd> mount_overlay(const OverlayLayers& layers, Abilities& abilities, Staging& staging);

}  // namespace lxmgr::storage
