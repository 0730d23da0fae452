#pragma once
#include <cstdint>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// The file systems of volumes that are block devices: ext4, xfs and btrfs.
namespace lxmgr::storage {

/// Errors: `bad_request` for another one, or less than it needs.
Result<> check_file_system(const std::string& type, std::uint64_t bytes);
/// `thin`: the device reads as zeros, and zeros written to it would take room.
Result<> make_file_system(const std::string& type, const std::string& device, bool thin);
/// Before a copy of a device is mounted beside its original. btrfs tells them apart by their ids; the others
/// need nothing.
Result<> renew_identity(const std::string& type, const std::string& device);

/// A detached mount. All mounts of one device are of one superblock, whose options are the first one's.
Result<UniqueFd> mount_file_system(const std::string& type, const std::string& device, bool thin,
                                   const std::string& options);
/// Up to its device's size, while it is mounted. One that has it already stays.
Result<> grow_file_system(const std::string& type, int mount_fd, std::uint64_t bytes);

}  // namespace lxmgr::storage
