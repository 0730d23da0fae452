#pragma once
#include <cstdint>

#include "lxd-daemon/base/result.h"

/// Limits of directory trees by the project quotas of ext4 and xfs. Projects cannot be changed from inside a
/// user namespace, and overlayfs and xfs let no capability override their limits; ext4 lets CAP_SYS_RESOURCE
/// of the initial user namespace, which is that of privileged instances on a plain tree.
namespace lxmgr::storage {

/// Whether the file system was mounted with prjquota. quotactl_fd(2): Linux 5.14.
bool enforces_project_quotas(int dir_fd);

/// 0: none. The descriptor must not be O_PATH.
Result<std::uint32_t> project_of(int fd);
/// One that nobody on the file system uses.
Result<std::uint32_t> new_project(int dir_fd);
/// Gives a tree a project: what is in it, and what will be made in it. Symlinks, sockets and devices cannot
/// be given one; new ones get it.
Result<> assign_project(int root_fd, std::uint32_t project);

struct ProjectUsage {
    std::uint64_t used_bytes = 0, limit_bytes = 0;  ///< limit 0: none
};
Result<ProjectUsage> project_usage(int dir_fd, std::uint32_t project);
/// 0: none. What is above it stays, and grows no more.
Result<> set_project_limit(int dir_fd, std::uint32_t project, std::uint64_t bytes);

}  // namespace lxmgr::storage
