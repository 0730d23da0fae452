#pragma once
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr {

/// Makes the directories of STATE with their modes and takes the lock that keeps a second daemon out.
/// @return the lock; held as long as the descriptor is open. Errors: `conflict` when another daemon holds it.
Result<UniqueFd> prepare_state_dir(const std::string& root);

/// Name of our own cgroup below each hierarchy's root: "lxmgr" for the default state directory, else with a
/// hash of the directory, so that several daemons live side by side.
std::string cgroup_name(const std::string& root);

/// Program that is installed beside this one. Errors: `not_found`.
Result<std::string> sibling_program(const std::string& name);

/// systemd's readiness protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET; nothing when that is not set.
void notify_service_manager(const std::string& state);

}  // namespace lxmgr
