#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::devices {

/// What `raw.mount.options` of a disk asks for.
struct MountOptions {
    std::uint64_t attributes = 0;                               ///< MOUNT_ATTR_* to set
    std::uint64_t cleared = 0;                                  ///< to clear before
    std::vector<std::pair<std::string, std::string>> of_tmpfs;  ///< size, mode, nr_inodes
};

/// Options as mount(8) has them, separated by commas. `bad_request` names the one that is unknown, or that
/// would give what an instance must not have (dev).
Result<MountOptions> parse_mount_options(std::string_view text, bool tmpfs);

}  // namespace lxmgr::devices
