#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::sys {

/// The whole disk that the files at `path` are on, as "MAJOR:MINOR": of a partition its disk, of a file
/// system over several devices (btrfs) the one that was mounted. Errors: `not_found` for no such path;
/// `bad_request` where no block device is behind it (tmpfs, NFS).
Result<std::string> disk_of(const std::string& path);

/// The whole disk of a block device's node. Errors: `not_found`; `bad_request` for what is no such node.
Result<std::string> disk_of_node(const std::string& path);
Result<std::string> disk_of_number(unsigned major, unsigned minor);

}  // namespace lxmgr::sys
