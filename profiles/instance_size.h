#pragma once
#include <string>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::profiles {

/// What `lxc launch -t` asks for: "c2-m4" (two CPUs, 4 GiB), "c2" or "m0.5", as limits.cpu and limits.memory
/// (LXD's documentation, "Instance types"). Names of clouds' types ("t2.micro", "aws:...") are tables that
/// are not kept here. Errors: bad_request names what is not such a size.
Result<api::ConfigMap> limits_of_size(const std::string& size);

}  // namespace lxmgr::profiles
