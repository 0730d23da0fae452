#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/instances/context.h"

/// Private to the room: where the NICs of an instance stand in the way of what others have.
namespace lxmgr::instances {

/// Nets that the host is to route to a NIC must be no managed network's, and nobody else's NIC on its network
/// may have its MAC address: leases and names are given by it. Errors: `bad_request`, `conflict`.
Result<> check_nics(const Context& context, const api::DeviceMap& expanded,
                    const database::InstanceRecord& record);

/// Whether no instance's NIC has the MAC address, on whatever network.
bool is_free_hwaddr(const Context& context, const std::string& hwaddr);

/// The same of a claim and of those that are held on its network. Errors: `conflict`.
Result<> check_unheld(const database::AddressRecord& wanted,
                      const std::vector<database::AddressRecord>& held);

}  // namespace lxmgr::instances
