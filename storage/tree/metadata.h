#pragma once
#include <sys/stat.h>

#include <string>

#include "lxd-daemon/base/result.h"
#include "storage/tree/id_shift.h"

namespace lxmgr::storage {

/// Gives FD (regular file or directory) the owner, extended attributes, mode and times of `from_fd`, in the
/// order that loses nothing: chown(2) drops setuid bits and file capabilities, so it goes first. Null `shift`
/// keeps ids.
Result<> copy_metadata(int from_fd, const struct stat& from, int fd, const IdShift* shift);

/// The same for an entry that cannot be opened (symlink, device, fifo, socket).
Result<> copy_entry_metadata(int from_dir_fd, const std::string& name, const struct stat& from, int dir_fd,
                             const IdShift* shift);

}  // namespace lxmgr::storage
