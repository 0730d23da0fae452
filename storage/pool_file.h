#pragma once
#include <sys/mount.h>

#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/sys/mount.h"
#include "storage/driver.h"

/// What drivers share whose pools are in a file of the daemon's, STATE/disks/NAME.img, and mounted at the
/// pool's directory.
namespace lxmgr::storage {

std::string own_pool_file(const PoolConfig& config);
/// A sparse file of `size`; fills in "size", as LXD does where the request left it open, and "source".
/// Errors: `bad_request` for less than `smallest` bytes.
Result<> make_pool_file(PoolConfig& config, std::uint64_t smallest);
Result<UniqueFd> open_pool_file(const std::string& path);
/// Makes the file as long as `size` says; it may be so already. False: it is.
/// Errors: `bad_request` where it would get shorter; `internal` with ENOSPC where the file system that it is
/// on has no room for what growing writes: the pool would turn read-only at that.
Result<bool> lengthen_pool_file(const PoolConfig& config, int file_fd);

/// `bad_request` "Storage pool 'NAME': WHY"
std::unexpected<Error> bad_pool(const PoolConfig& config, const std::string& why);
/// A key of the pool that is true or false. Errors: `bad_request`.
Result<bool> pool_flag(const PoolConfig& config, const char* key, bool fallback);
/// Does what `source.wipe` asks for with the pool's device, and takes the key out: it is for once. Errors:
/// `bad_request` where the device is in use, or there is none.
/// @param device  empty: the pool is not on a device
Result<> wipe_if_asked(PoolConfig& config, const std::string& device);
bool is_mount_point(const std::string& path);
/// Lazily, whoever still looks at what was there; nothing mounted is success.
Result<> unmount_pool(const std::string& path);
/// "discard,noatime,commit=30", as mount(8) takes them. @return those that are of the mount and not of the
/// file system, MOUNT_ATTR_*, for FsContext::mount()
Result<unsigned> set_mount_options(sys::FsContext& context, const std::string& options);
/// All of MOUNT_ATTR_* that it may return.
inline constexpr std::uint64_t kMountOptionAttributes =
    MOUNT_ATTR__ATIME | MOUNT_ATTR_NODEV | MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID;

}  // namespace lxmgr::storage
