#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// One thing that was looked at.
struct Finding {
    std::string check;  ///< "interface", "forwarding", "dnsmasq", "rules", "foreign rules"
    bool good = true;
    std::string message;  ///< what is so; what is wrong and what helps
};

/// Looks at all that a bridge needs to work, and at rules of other programs that are in its way. Blocking;
/// changes nothing. Errors: `bad_request` for a config that is none.
Result<std::vector<Finding>> examine(const std::string& bridge, const api::ConfigMap& config);

}  // namespace lxmgr::network
