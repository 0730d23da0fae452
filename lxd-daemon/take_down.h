#pragma once
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/options.h"

namespace lxmgr {

/// Takes what networks have in the kernel away: bridges, tunnels, rules and DHCP servers outlive the daemon.
/// Its own cgroup goes too, unless instances run in it. The config stays; the next daemon brings all up
/// again. For the package's removal. Errors: `conflict` while a daemon runs.
Result<> take_down_networks(const Options& options);

}  // namespace lxmgr
