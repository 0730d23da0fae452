#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// The user that dnsmasq becomes: "dnsmasq", which the packages of Debian and Fedora make, else "nobody".
const char* dnsmasq_user();

/// Whether that user can get to a directory: it reads host entries there after it has left root behind, and
/// where it cannot, it serves on without them. Errors: `unavailable` naming the directory that is closed.
Result<> check_reachable(const std::string& directory);

}  // namespace lxmgr::network
