#pragma once
#include <string>

#include "lxd-daemon/instances/context.h"

namespace lxmgr::instances {

/// Whether a NIC other than this one is on the interface of a VLAN ("eth0.5"): what it noted when it started
/// is there until it has stopped.
bool nics_on_vlan(Context& context, const std::string& instance, const std::string& device,
                  const std::string& interface);

}  // namespace lxmgr::instances
