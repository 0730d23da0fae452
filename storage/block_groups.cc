#include "storage/block_groups.h"

#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>

#include "lxd-daemon/sys/mount.h"

namespace lxmgr::storage {

void spread_over_block_groups(int directory_fd) {
    const auto magic = sys::file_system_magic(directory_fd);
    if (!magic || *magic != EXT4_SUPER_MAGIC) return;
    unsigned flags = 0;
    if (::ioctl(directory_fd, FS_IOC_GETFLAGS, &flags) != 0 || (flags & FS_TOPDIR_FL) != 0) return;
    flags |= FS_TOPDIR_FL;
    [[maybe_unused]] const int refused = ::ioctl(directory_fd, FS_IOC_SETFLAGS, &flags);
}

}  // namespace lxmgr::storage
