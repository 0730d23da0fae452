#pragma once
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::sys {

/// What lock_mount() is to give back.
struct MountPart {
    bool is_directory = true;  ///< of the mount's root
    std::string path;          ///< below it, which becomes the new mount's root; empty: the whole mount
};

/// A detached clone of a detached mount (tree) whose attributes the owner of a lesser user namespace cannot
/// change: without this, root of an instance could remount a read-only disk read-write, and a nodev one dev.
/// Only a mount namespace that is copied into a lesser user namespace gets such locks (lock_mnt_tree() of
/// fs/namespace.c), so a short-lived process makes one. Shared mounts come back as slaves of their peers.
/// @param mount_fd  is attached in that process's namespace, and of no more use afterwards
/// Errors: `internal` with errno. Linux 5.2.
Result<UniqueFd> lock_mount(int mount_fd, const MountPart& part);

}  // namespace lxmgr::sys
