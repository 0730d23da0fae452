#include "network/bridge_state.h"

#include <fmt/format.h>
#include <linux/if_link.h>

#include <array>
#include <span>

#include "network/links.h"

namespace lxmgr::network {
namespace {

using BridgeId = std::array<std::uint8_t, 8>;  // ifla_bridge_id: priority, MAC address

std::string shown(const BridgeId& id) {
    std::string out;
    for (const std::uint8_t byte : std::span(id).first(2)) out += fmt::format("{:02x}", byte);
    out += '.';
    for (const std::uint8_t byte : std::span(id).subspan(2)) out += fmt::format("{:02x}", byte);
    return out;
}

/// Documentation/netlink/specs/rt_link.yaml (linkinfo-bridge-attrs).
BridgeState read_bridge(const NetlinkAttributes& data) {
    BridgeState out;
    out.id = shown(data.value(IFLA_BR_BRIDGE_ID, BridgeId{}));
    out.stp = data.value(IFLA_BR_STP_STATE, std::uint32_t{0}) != 0;
    out.forward_delay = data.value(IFLA_BR_FORWARD_DELAY, std::uint32_t{0});
    out.default_vlan = data.value(IFLA_BR_VLAN_DEFAULT_PVID, std::uint16_t{0});
    out.vlan_filtering = data.value(IFLA_BR_VLAN_FILTERING, std::uint8_t{0}) != 0;
    return out;
}

Result<std::optional<BridgeState>> read_bridge_state(const std::string& name) {
    LX_TRY_AS(auto socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_link(socket, name));
    if (!link || link->kind != "bridge") return std::nullopt;
    ifinfomsg info{};
    info.ifi_index = link->index;
    BridgeState out;
    const auto visit = [&out](const nlmsghdr* answer) {
        const NetlinkAttributes attributes(answer, sizeof(ifinfomsg));
        out = read_bridge(attributes.nested(IFLA_LINKINFO).nested(IFLA_INFO_DATA));
    };
    LX_TRY(
        socket.get(NetlinkMessage(RTM_GETLINK, 0, info), fmt::format("Looking up bridge '{}'", name), visit));
    LX_TRY_AS(const auto links, list_links(socket));
    for (const Link& one : links) {
        if (one.master == link->index) out.ports.push_back(one.name);
    }
    return out;
}

}  // namespace

std::optional<BridgeState> bridge_state(const std::string& name) {
    auto state = read_bridge_state(name);
    return state ? std::move(*state) : std::nullopt;
}

}  // namespace lxmgr::network
