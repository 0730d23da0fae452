#pragma once
#include <functional>
#include <string>

#include "lxd-daemon/devices/device.h"
#include "network/vlan.h"

/// The keys vlan, vlan.tagged and gvrp.
namespace lxmgr::devices {

/// Of a NIC on a bridge; the table of keys has checked the values.
network::PortVlans port_vlans_of(const DeviceContext& context);
bool same_port_vlans(const DeviceContext& a, const DeviceContext& b);
/// False for a NIC without VLAN keys on somebody else's bridge, whose ports are the administrator's to set.
bool may_have_vlans(const DeviceContext& context);
/// Of a port that is there, to what the keys say.
Result<> apply_port_vlans(const DeviceContext& context, const std::string& host_name);

/// The interface that a macvlan, physical or routed NIC builds on: the parent, or a VLAN of it.
std::string parent_of(const DeviceContext& context);
/// For start(): what is kept so that stop() knows whether the VLAN's interface is ours.
Result<api::ConfigMap> keep_vlan(const DeviceContext& context);
NicOnVlan nic_on_vlan(const DeviceContext& context);
/// Runs `work` when the VLAN's interface is there, made now where it is not; none other is taken away
/// meanwhile. The NIC is on it from then on, until release_vlan().
Result<> with_vlan(const NicOnVlan& nic, const network::VlanLink& vlan,
                   const std::function<Result<>()>& work);
/// An id of 0: the NIC is in none.
network::VlanLink vlan_of(const DeviceContext& context);
/// For stop(): takes the VLAN's interface away when we made it and no other NIC is on it.
Result<api::ConfigMap> release_vlan(const DeviceContext& context);

}  // namespace lxmgr::devices
