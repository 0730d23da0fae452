#pragma once
#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::instances {

/// linux.kernel_modules of an expanded config: what the kernel does not have yet is loaded by modprobe(8).
/// Blocking. Errors: `bad_request` naming the module.
Result<> load_kernel_modules(const api::ConfigMap& expanded);

}  // namespace lxmgr::instances
