#pragma once
#include "lxd-daemon/base/result.h"
#include "storage/tree/id_shift.h"

namespace lxmgr::storage {

/// Copies the tree below `from_fd` into the empty directory `to_fd`, the root's own metadata included:
/// ownership, modes with setuid bits, times, extended attributes, hard links, holes, devices. Contents are
/// shared where the file system can. Symlinks are copied, never followed; a directory where another file
/// system is mounted comes out empty.
/// @param shift  null: ids are kept
/// @param bytes_per_second  of files' contents; 0: as fast as it can
/// Errors: `internal` with errno; `bad_request` when the tree is deeper than kMaxTreeDepth. On failure the
/// target holds leftovers, which the caller discards.
Result<> copy_tree(int from_fd, int to_fd, const IdShift* shift, std::uint64_t bytes_per_second = 0);

}  // namespace lxmgr::storage
