#include "network/link_state.h"

#include <fmt/format.h>
#include <net/if.h>

#include "network/links.h"

namespace lxmgr::network {

Result<bool> set_link_state(const std::string& name, bool up) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_link(socket, name));
    if (!link) return fail(Status::not_found, fmt::format("Interface '{}' is gone", name));
    if (link->up == up) return false;
    LX_TRY(set_link_state(socket, *link, up));
    return true;
}

Result<> set_macvlan_carrier(int netns_fd, const std::string& hwaddr, bool on) {
    const auto mac = parse_mac(hwaddr);
    if (!mac) return fail(Status::bad_request, fmt::format("'{}' is not a MAC address", hwaddr));
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open_in(netns_fd));
    LX_TRY_AS(const auto link, find_link(socket, *mac));
    if (!link || link->kind != "macvlan") return {};
    ifinfomsg info{};
    info.ifi_index = link->index;
    NetlinkMessage message(RTM_SETLINK, 0, info);
    const std::uint8_t held_down = on ? 0 : 1;
    message.add(IFLA_PROTO_DOWN, &held_down, sizeof held_down);
    return socket.change(std::move(message), fmt::format("Setting the carrier of '{}'", link->name));
}

}  // namespace lxmgr::network
