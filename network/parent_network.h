#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"
#include "network/doctor.h"

/// Managed networks that are an interface of the host, on which their NICs stand by themselves: the network
/// says once what each of them would have to. Nothing is made for them before a NIC is.
namespace lxmgr::network {

/// Whether it is such a type: "macvlan" or "physical", as the nictype of its NICs is called.
bool is_on_parent(std::string_view type);

/// Name and config of such a network, and that its parent is there.
/// Errors: `bad_request` naming the network or the key, the value and what is allowed.
Result<> check_parent_network(const std::string& name, const api::ConfigMap& config);

/// The keys that NICs of the network take over, with `nictype`: what those have that name no network.
api::ConfigMap nic_keys_of(std::string_view type, const api::ConfigMap& config);

/// What `network doctor` says of one: whether its parent is there and up.
Result<std::vector<Finding>> examine_parent(const api::ConfigMap& config);

}  // namespace lxmgr::network
