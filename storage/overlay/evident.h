#pragma once
#include "lxd-daemon/base/result.h"

namespace lxmgr::storage {

/// Whether each regular file of an overlay's upper tree can be told from the one of the lower tree that has
/// its place by size or time of change, or holds the same. False, too, when a directory was moved. Symlinks
/// are not followed; contents are read only of files that cannot be told apart otherwise.
Result<bool> differs_evidently(int upper_fd, int lower_fd);

}  // namespace lxmgr::storage
