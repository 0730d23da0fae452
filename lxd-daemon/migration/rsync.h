#pragma once
#include <cstdint>
#include <functional>

#include "lxd-daemon/migration/link.h"
#include "lxd-daemon/migration/messages.h"

/// Trees go to other servers and come from them by rsync, which runs in lxmgr-rsync: a root with nothing but
/// the tree, no network, few capabilities.
namespace lxmgr::migration {

/// Detached mounts; each is used up.
struct Tree {
    int mount_fd = -1;
    int rootfs_fd = -1;  ///< mounted on its directory "rootfs"; -1: none
};

using Progress = std::function<void(std::uint64_t bytes)>;

/// Blocking, until both sides have ended. Errors: what rsync says (with ENOSPC or EDQUOT in sys_errno for
/// want of room), what the link says.
/// @param bytes_per_second  0: as fast as it can
Result<> send_tree(Link& link, const Tree& tree, const RsyncFeatures& features, const Progress& progress,
                   std::uint64_t bytes_per_second);
/// The tree becomes as the sender's is.
Result<> receive_tree(Link& link, const Tree& tree, const RsyncFeatures& features, const Progress& progress);

/// The same without rsync (rsync/whole.h), between two servers that both know it: what arrives finds an empty
/// tree, or the empty directory "rootfs" of an instance.
Result<> send_whole_tree(Link& link, const Tree& tree, const Progress& progress);
Result<> receive_whole_tree(Link& link, const Tree& tree, const Progress& progress);

}  // namespace lxmgr::migration
