#pragma once
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/instances/raw_lxc.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::instances {

/// What an expanded config says of a start, in the runtime's terms, beside limits and the id map.
struct Settings {
    std::vector<runtime::KernelLimit> kernel_limits;
    std::vector<runtime::Sysctl> sysctls;
    runtime::SyscallPolicy syscalls;
    runtime::Intercepts intercepts;
    bool nesting = false;
    RawLxc raw;
};
/// Errors: `bad_request` naming key and value.
Result<Settings> settings_of(const api::ConfigMap& expanded);

/// A bool key of an expanded config; `otherwise` when it is unset.
bool flag_of(const api::ConfigMap& expanded, const char* key, bool otherwise = false);

}  // namespace lxmgr::instances
