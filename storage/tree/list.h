#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::storage {

struct Entry {
    std::string name;
    unsigned char type;  ///< DT_REG, DT_DIR, ... or DT_UNKNOWN, readdir(3)
};

/// Every entry of an open directory but "." and "..", in the file system's order. Rewinds the descriptor
/// first.
Result<std::vector<Entry>> list_directory(int dir_fd);

/// The same directory for reading and for ioctl(2), which O_PATH is not.
Result<UniqueFd> reopen_directory(int dir_fd);

/// fail_errno() whose subject is NAME inside an open directory; finds the directory's path by /proc.
std::unexpected<Error> fail_errno_at(std::string_view call, int dir_fd, std::string_view name);

/// Deepest directory nesting that is copied or measured. A guest can nest without limit (PATH_MAX bounds a
/// path, not a tree); each level costs a descriptor and a stack frame here.
inline constexpr int kMaxTreeDepth = 512;

}  // namespace lxmgr::storage
