#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// Makes interfaces of the host ports of a bridge, and lets go of those that were and are no longer wanted:
/// a file in `state_dir` says which. Errors: `bad_request` for an interface that is not there, has addresses
/// of its own or is a port of another bridge.
Result<> apply_external_interfaces(const std::string& bridge, const std::string& state_dir,
                                   const std::vector<std::string>& wanted);

}  // namespace lxmgr::network
