#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::network {

/// What the kernel says of a bridge, managed or not.
struct BridgeState {
    std::string id;  ///< "8000." and the MAC address without colons, as brctl(8) shows it
    bool stp = false;
    std::uint32_t forward_delay = 0;  ///< hundredths of a second (USER_HZ)
    std::uint16_t default_vlan = 0;
    bool vlan_filtering = false;
    std::vector<std::string> ports;  ///< names of the interfaces in it
};

/// nullopt: there is no bridge of that name.
std::optional<BridgeState> bridge_state(const std::string& name);

}  // namespace lxmgr::network
