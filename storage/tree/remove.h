#pragma once
#include <functional>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::storage {

/// Asked between entries; true ends the removal early.
using Interrupted = std::function<bool()>;

/// Removes DIR_FD/NAME, whatever a guest left in it: symlinks are never followed, other file systems never
/// entered, and a tree of any depth takes a bounded number of descriptors, because deep directories are moved
/// up into DIR_FD first. DIR_FD must therefore be a directory whose every entry is rubbish (the pool's tmp/).
/// @return the entries of DIR_FD that are left to remove: none when it is gone (or never was), some when
/// `interrupted`
///         ended the work. Errors: `internal` with errno.
Result<std::vector<std::string>> remove_tree_at(int dir_fd, const std::string& name,
                                                const Interrupted& interrupted);

}  // namespace lxmgr::storage
