#pragma once
#include <string>

#include "lxd-daemon/instances/context.h"

namespace lxmgr::instances {

/// security.syscalls.intercept.mount.* of an expanded config as the file of monitor/mount_rules.h; empty:
/// nothing is mounted for the instance. Errors: `bad_request` when a file system is in both lists.
Result<std::string> mount_rules(const api::ConfigMap& expanded);

/// Puts the file where the helper that answers the instance's calls reads it at each of them.
Result<> write_mount_rules(Context& context, const std::string& name, const api::ConfigMap& expanded);
/// The same for an instance that runs.
Result<> update_mount_rules(Context& context, const std::string& name, const ExpandedInstance& before,
                            const ExpandedInstance& after, Revert& undo);

}  // namespace lxmgr::instances
