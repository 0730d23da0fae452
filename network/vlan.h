#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/base/result.h"

/// IEEE 802.1Q: the VLANs of a bridge's port, and interfaces that are one VLAN of another.
namespace lxmgr::network {

struct PortVlans {
    std::optional<std::uint16_t> untagged;                        ///< in place of the bridge's default
    bool no_untagged = false;                                     ///< not even the default
    std::vector<std::pair<std::uint16_t, std::uint16_t>> tagged;  ///< first and last id of each range
    [[nodiscard]] bool is_default() const { return !untagged && !no_untagged && tagged.empty(); }
};
/// Makes the VLANs of a port exactly these. A bridge that does not filter VLANs yet is made to when it
/// `is_ours`: tagged packets then pass where a port allows them only. Errors: `bad_request` when another's
/// bridge does not filter them, or the kernel cannot (CONFIG_BRIDGE_VLAN_FILTERING).
Result<> set_port_vlans(const std::string& port, const std::string& bridge, const PortVlans& vlans,
                        bool is_ours);

struct VlanLink {
    std::string parent;
    std::uint16_t id = 0;
    bool gvrp = false;                       ///< announce it to the switch
    [[nodiscard]] std::string name() const;  ///< "eth0.5"
};
/// Whether there is one that somebody else has made. Errors: `bad_request` for a name that is too long,
/// another interface's, or that of another VLAN.
Result<bool> is_foreign_vlan(const VlanLink& vlan);
/// Makes the interface where it is not there, marks it as ours and brings it up; forwarding is as the
/// parent's. Errors: `bad_request` when there is no such parent. Callers take turns.
Result<> create_vlan(const VlanLink& vlan);
/// Takes away what create_vlan() had made when the daemon was killed in it, which has no mark and no name
/// yet.
Result<> delete_unfinished_vlan();

}  // namespace lxmgr::network
