#pragma once
#include <cstdint>

#include "lxd-daemon/base/result.h"

namespace lxmgr::storage {

/// Bytes allocated to a tree (st_blocks), hard links counted once, other file systems not entered. The tree
/// may change meanwhile: what vanishes is not counted. Below kMaxTreeDepth nothing is counted.
Result<std::uint64_t> tree_usage_bytes(int root_fd);

}  // namespace lxmgr::storage
