#pragma once
#include <cstdint>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::sys {

/// The whole disk that the files at `path` are on, or that it is the node of, as "MAJOR:MINOR": of a
/// partition its disk, of a file system over several devices (btrfs) the one that was mounted. Errors:
/// `not_found` for no such path; `bad_request` where no block device is behind it (tmpfs, NFS).
Result<std::string> disk_of(const std::string& path);

/// The whole disk of a block device's node. Errors: `not_found`; `bad_request` for what is no such node.
Result<std::string> disk_of_node(const std::string& path);
Result<std::string> disk_of_number(unsigned major, unsigned minor);

/// Mounts the file system of a block device, whichever the kernel finds there: a detached mount.
/// @param attributes  MOUNT_ATTR_*; with MOUNT_ATTR_RDONLY nothing is written to the device either, but for
/// what a journal holds
/// Errors: `bad_request` saying what is wrong with the device. Linux 5.2.
Result<UniqueFd> mount_block_device(const std::string& path, std::uint64_t attributes);

}  // namespace lxmgr::sys
