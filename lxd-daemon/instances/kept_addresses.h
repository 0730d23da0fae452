#pragma once
#include "lxd-daemon/instances/context.h"

/// Private to the room: what NICs hold for life ends with them, whether or not the instance runs.
namespace lxmgr::instances {

/// Takes out of `config` what was kept for NICs that are no longer there.
void forget_gone_nics(const api::DeviceMap& before, const api::DeviceMap& after, api::ConfigMap& config);

/// Once the instance is stored: addresses of NICs that are gone, or are on another network now, are free for
/// others, those that have another MAC or fixed address now are held as that, and a NIC that is new on its
/// network gets what it will have for life. Failures are logged; what could not be given is asked for again
/// when the NIC comes up.
void settle_addresses(Context& context, const std::string& instance);

}  // namespace lxmgr::instances
