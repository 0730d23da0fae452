#pragma once
#include <fcntl.h>
#include <sys/types.h>

#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// Paths that an instance can influence are opened here and nowhere else: openat2(2), Linux 5.6. O_CLOEXEC is
/// added. Errors of all: `not_found` for ENOENT and ENOTDIR, `bad_request` for a path that leaves the tree or
/// loops (EXDEV, ELOOP), `internal` otherwise, with errno.
namespace lxmgr::sys {

/// As a process with root_fd as its root directory would open it: absolute symlinks and ".." stay inside.
/// Magic links of /proc are refused. For paths as seen by the instance.
Result<UniqueFd> open_in_root(int root_fd, const std::string& path, int flags, mode_t mode = 0);

/// Nothing may lead out of root_fd: absolute symlinks and ".." above it are errors.
Result<UniqueFd> open_beneath(int root_fd, const std::string& path, int flags, mode_t mode = 0);

/// Neither may any component be a symlink. For metadata, templates and the like, where a link is an attack.
Result<UniqueFd> open_no_symlinks(int root_fd, const std::string& path, int flags, mode_t mode = 0);

/// Makes the directory and its missing parents as open_in_root() would resolve them; existing ones are kept
/// as they are.
/// @return the directory, O_PATH
Result<UniqueFd> make_directories_in_root(int root_fd, const std::string& path, mode_t mode);

}  // namespace lxmgr::sys
