#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "storage/pool_directory.h"

/// Subvolumes by ioctl(2), linux/btrfs.h. Directories are named by a descriptor of their parent and a name.
namespace lxmgr::storage {

bool is_subvolume(int fd);
Result<> create_subvolume(int parent_fd, const std::string& name);
/// A writable snapshot, atomically and durably. What is nested in the source comes out as empty directories.
/// Errors: `conflict` when the name is taken.
Result<> snapshot_subvolume(int source_fd, int parent_fd, const std::string& name);

/// What the file system knows it by. Errors: `internal`; needs CAP_SYS_ADMIN.
Result<std::uint64_t> subvolume_id(int fd);
/// As one must be to be sent.
Result<> set_read_only(int fd);

/// A subvolume in another one, which whoever is root there can make.
struct NestedSubvolume {
    std::string path;  ///< from the outer one
};
/// All below it, each behind the one it is in. Errors: `internal`; needs CAP_SYS_ADMIN.
Result<std::vector<NestedSubvolume>> nested_subvolumes(int fd);
/// Puts copies of what is nested in one into its fresh snapshot. Nobody may change either meanwhile.
Result<> snapshot_nested(int source_fd, int snapshot_fd);

/// Subvolumes as the directories of a pool; removing one takes those in it too.
const DirectoryMaker& subvolume_maker();

}  // namespace lxmgr::storage
