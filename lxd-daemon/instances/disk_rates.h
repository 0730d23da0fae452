#pragma once
#include <string>

#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/limits.h"

namespace lxmgr::instances {

/// limits_of() with the rates of the instance's disk devices, which the kernel keeps for each block device:
/// where several devices are on one, the lowest rates hold. Errors: `bad_request` naming device or key.
Result<runtime::Limits> all_limits(const Context& context, const database::InstanceRecord& record,
                                   const ExpandedInstance& expanded, CpuPlacement& placement);

}  // namespace lxmgr::instances
