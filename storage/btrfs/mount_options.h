#pragma once
#include <string>

namespace lxmgr::storage {

/// What a mounted btrfs has to be told so that it comes to have `after` where it had `before`: what is no
/// longer said is taken back first, since the kernel keeps whatever it is not told otherwise of. Some cannot
/// be taken back (`user_subvol_rm_allowed`): they end with the mount.
std::string remount_options(const std::string& before, const std::string& after);

}  // namespace lxmgr::storage
