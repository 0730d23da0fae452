#pragma once
#include <cstdint>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::sys {

/// A loop device bound to a file. The kernel frees it when its last user is gone (LO_FLAGS_AUTOCLEAR):
/// whoever is killed, none is left behind. To use it after this object, mount it first.
struct LoopDevice {
    UniqueFd fd;
    std::string path;  ///< "/dev/loop0"
};

/// The device that has the file already (two would write past each other), else a free one. The caller sees
/// to it that nobody does so with the same file at the same time. Linux 5.8: LOOP_CONFIGURE. Errors:
/// `unavailable` where there are no loop devices, else `internal` with errno.
/// @param file_fd  open for reading and writing; stays the caller's
Result<LoopDevice> open_loop_device(int file_fd);

/// Tells a device that its file has another size now.
Result<> refresh_loop_size(const LoopDevice& device);

}  // namespace lxmgr::sys
