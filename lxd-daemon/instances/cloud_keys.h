#pragma once
#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::instances {

/// Puts what cloud-init.ssh-keys.* of an expanded config says into its user data or vendor data, which is
/// what cloud-init reads, and takes those keys away. The user's own text stays as it is: it becomes one part
/// of a MIME message, and the keys another that cloud-init merges with it. Nothing happens without such keys.
/// Errors: `bad_request` where cloud-init would not see them.
Result<> merge_ssh_keys(api::ConfigMap& expanded);

}  // namespace lxmgr::instances
