#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::instances {

struct Context;

/// Removes all that an instance without a row may have: volume, addresses, log and run directories. What is
/// absent already is success, so that it can be repeated after a crash.
Result<> remove_remains(Context& context, const std::string& pool, const std::string& name);

}  // namespace lxmgr::instances
