#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lxd-daemon/devices/device.h"
#include "network/nic_rules.h"

/// limits.* and security.* of NICs whose host's end is ours (bridged, p2p, routed).
namespace lxmgr::devices {

/// What the keys ask for, in terms of the host's end.
struct NicTraffic {
    network::NicRules rules;
    std::uint64_t ingress_bits = 0;  ///< into the instance, a second; 0: no limit
    std::optional<bool> isolated;    ///< from other isolated ports; none: on no bridge

    [[nodiscard]] bool empty() const {
        return rules.empty() && ingress_bits == 0 && !isolated.value_or(false);
    }
};

bool same_traffic(const DeviceContext& a, const DeviceContext& b);

/// What the NIC is, beside its keys.
struct NicEnd {
    std::string host_name, hwaddr;
    NicAddresses addresses;  ///< on a managed network
};
/// Errors: `bad_request` when a filter has nothing to filter by.
Result<NicTraffic> traffic_of(const DeviceContext& context, const NicEnd& end);
/// The same, before a network has given an address.
Result<> validate_traffic(const DeviceContext& context);
/// For VethRequest::prepare: empty when there is nothing to do for a new pair.
std::function<Result<>()> traffic_setup(const NicTraffic& traffic);
/// Of a pair that is in use, whatever was in force.
Result<> apply_traffic(const NicTraffic& traffic);
/// For update(): puts the old in force again when the new fails.
Result<> change_traffic(const DeviceContext& before, const DeviceContext& after,
                        const NicAddresses& addresses);
/// For recover(): what a crash in the middle of a change left is set right.
Result<> recover_traffic(const DeviceContext& context, const NicAddresses& addresses);
/// `keys` and traffic_keys().
std::vector<std::string_view> with_traffic_keys(std::vector<std::string_view> keys);
/// queue.tx.length; 0: not set.
int tx_queue_of(const DeviceContext& context);

}  // namespace lxmgr::devices
