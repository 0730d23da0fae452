#pragma once
#include <string>

#include "lxd-daemon/devices/device.h"
#include "network/routed.h"

/// What NICs of all types have in common: MAC address, name inside, MTU.
namespace lxmgr::devices {

std::unexpected<Error> bad_nic(const DeviceContext& context, const std::string& why);
std::string first_of(std::string configured, std::string kept);
/// Of the user, else the kept one, lower case; empty: none yet.
std::string hwaddr_of(const DeviceContext& context);
/// 0: not set.
Result<int> mtu_of(const DeviceContext& context);
/// MAC address and name that are kept for the NIC's life, where it has none yet.
api::ConfigMap nic_identity(const DeviceContext& context);
/// A name for the host's end. One that is there already is of an earlier run that a crash cut off, and goes;
/// or of somebody else, and stays.
Result<std::string> free_host_name(const DeviceContext& context, const std::string& hwaddr);
/// Value of ipv4.address and ipv6.address for a NIC that is to have no such address at all.
inline constexpr const char* kNoAddress = "none";
/// The address that such a value names; "" for none.
std::string static_address(std::string configured);
/// The key `connected`: whether the instance sees a carrier.
bool is_connected(const DeviceContext& context);
/// Errors: `not_found` when the host's end of a running instance's NIC is gone.
Result<> require_host_end(const DeviceContext& context);
/// The parts of a value with commas between.
std::vector<std::string> list_of(const DeviceContext& context, const char* key);
/// ipv4.routes and ipv6.routes, which the table of keys has checked.
network::RoutedNets nets_of(const DeviceContext& context);
/// A key's value, else what is kept of it, or is about to be (`changes`).
std::string nic_value(const DeviceContext& context, const api::ConfigMap& changes, const char* key);

}  // namespace lxmgr::devices
