#pragma once
#include <functional>

#include "lxd-daemon/base/result.h"

namespace lxmgr::sys {

/// Runs `work` on a short-lived thread that has entered another mount namespace, with its root as root and
/// working directory; the caller's thread never leaves its own. `work` must open paths by sys/path.h only and
/// load nothing from the namespace: no NSS, no locale, no dlopen(3).
/// Errors: those of `work`; `internal` when the namespace cannot be entered.
Result<> in_mount_namespace(int mntns_fd, const std::function<Result<>()>& work);

/// The same with a network namespace, for making sockets: one stays in the namespace that it was made in.
Result<> in_network_namespace(int netns_fd, const std::function<Result<>()>& work);

}  // namespace lxmgr::sys
