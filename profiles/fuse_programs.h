#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::profiles {

/// One entry of security.syscalls.intercept.mount.fuse.
struct FuseProgram {
    std::string filesystem;
    std::string program;  ///< a name without a path, looked for in the instance
};
/// "ext4=fuse2fs,squashfs=squashfuse". Errors: `bad_request` saying what is allowed.
Result<std::vector<FuseProgram>> parse_fuse_programs(std::string_view value);

}  // namespace lxmgr::profiles
