#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

/// How two servers know that volumes of theirs hold the same tree, so that a stream may begin with it.
namespace lxmgr::storage {

/// Removes what stands beside the tree, whatever it is. Errors: `bad_request` when there is no tree.
Result<> keep_tree_only(int directory_fd);

/// The UUID of a subvolume, or what it was said to be the same as. A snapshot of it has a UUID of its own,
/// and so an identity of its own.
Result<std::string> identity_of(int subvolume_fd);
Result<> set_identity(int subvolume_fd, const std::string& identity);

}  // namespace lxmgr::storage
