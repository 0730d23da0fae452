#pragma once
#include <cstddef>

/// What a container may have mounted for it: the file that the daemon keeps in its run directory, so that a
/// change is in force at once, and the monitor need not know of it. A line each: "kernel ext4", "fuse ext4
/// fuse2fs", "shift".
namespace lxmgr::monitor {

constexpr const char* kMountRules = "mounts";
constexpr std::size_t kTypeName = 32;

struct MountRule {
    bool shift = false;
    char program[64] = {};  ///< of FUSE, in the container; empty: the kernel
};
/// @return false: file systems of this type are none of ours
bool find_mount_rule(int run_dir, const char* type, MountRule& rule);

}  // namespace lxmgr::monitor
