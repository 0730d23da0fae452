#pragma once
#include <cstdint>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// A volume's limit where the pool's file system has no project quotas: its files are in an ext4 file system
/// in a sparse file of that size, VOLUME/volume.img. It is mounted through a loop device that the kernel
/// frees, and attached nowhere: no crash leaves anything behind. The image's root is owned by the daemon and
/// never reached by a guest as a block device.
namespace lxmgr::storage {

bool has_image(int volume_fd);
/// An empty file system in a volume's directory. Errors: `bad_request` for less than kSmallestImage.
Result<> make_image(int volume_fd, std::uint64_t bytes);
inline constexpr std::uint64_t kSmallestImage = 8U << 20U;

/// A detached mount of the file system. All mounts of one image are of one superblock, whichever daemon made
/// them.
Result<UniqueFd> mount_image(int volume_fd);
/// Bytes it was made for.
Result<std::uint64_t> image_size(int volume_fd);
/// Bytes it takes of the pool.
Result<std::uint64_t> image_usage(int volume_fd);
/// Also while it is mounted. False: the kernel refuses (EXT4_IOC_RESIZE_FS needs CAP_SYS_RESOURCE); nothing
/// has changed.
Result<bool> grow_image(int volume_fd, std::uint64_t bytes);
/// The size that an ext4 file system says it has: by its superblock
/// (Documentation/filesystems/ext4/super.rst), as a device has it, where the kernel keeps what is not on the
/// disk yet, or a file.
Result<std::uint64_t> file_system_bytes(const std::string& device);
/// What was written is on the disk of the pool.
Result<> sync_image(int volume_fd, int mount_fd);

}  // namespace lxmgr::storage
