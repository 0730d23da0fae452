#include "network/physical.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>

#include "lxd-daemon/base/own.h"
#include "network/links.h"

namespace lxmgr::network {
namespace {

ifinfomsg down(int index) {
    ifinfomsg info{};
    info.ifi_index = index;
    info.ifi_change = IFF_UP;
    return info;
}

/// Name, address and MTU; a name can change only while the interface is down.
NetlinkMessage as_on_host(const Link& link, const HostLink& host, const Mac& hwaddr) {
    NetlinkMessage message(RTM_SETLINK, 0, down(link.index));
    message.add(IFLA_IFNAME, host.name);
    message.add(IFLA_ADDRESS, hwaddr.data(), hwaddr.size());
    if (host.mtu != 0) message.add_u32(IFLA_MTU, static_cast<std::uint32_t>(host.mtu));
    return message;
}

}  // namespace

Result<std::optional<HostLink>> host_link(const std::string& name) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_link(socket, name));
    if (!link) return std::optional<HostLink>();
    return std::optional(
        HostLink{link->name, format_mac(link->hwaddr), link->kind, static_cast<int>(link->mtu)});
}

Result<> lend_link(const std::string& name, const Loan& loan) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_link(socket, name));
    if (!link) return fail(Status::bad_request, fmt::format("Parent interface '{}' does not exist", name));
    Mac hwaddr = link->hwaddr;
    if (!loan.hwaddr.empty()) {
        LX_TRY_AS(hwaddr, require_mac(loan.hwaddr));
    }
    // Address and MTU first: what the kernel refuses leaves the interface where it was.
    NetlinkMessage change(RTM_SETLINK, 0, down(link->index));
    change.add(IFLA_ADDRESS, hwaddr.data(), hwaddr.size());
    if (loan.mtu != 0) change.add_u32(IFLA_MTU, static_cast<std::uint32_t>(loan.mtu));
    const auto back = [&] {
        const HostLink host{name, format_mac(link->hwaddr), link->kind, static_cast<int>(link->mtu)};
        static_cast<void>(socket.change(as_on_host(*link, host, link->hwaddr), "Restoring").has_value());
        if (link->up) static_cast<void>(set_link_state(socket, *link, true).has_value());
    };
    auto moved = socket.change(std::move(change), fmt::format("Changing interface '{}'", name));
    if (moved) {
        NetlinkMessage move(RTM_SETLINK, 0, down(link->index));
        move.add_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(loan.netns_fd));
        move.add(IFLA_IFNAME, loan.guest_name.empty() ? kAnyEthernetName : loan.guest_name);
        moved = socket.change(std::move(move), fmt::format("Moving interface '{}' into the instance", name));
    }
    if (!moved) {
        back();
        return moved;
    }
    LX_TRY_AS(NetlinkSocket there, NetlinkSocket::open_in(loan.netns_fd));
    LX_TRY_AS(const auto lent, find_link(there, hwaddr));
    if (!lent) return fail(Status::internal, "The interface has left the guest's network namespace");
    return set_link_state(there, *lent, true);
}

Result<> take_link_back(int netns_fd, const std::string& inside, const HostLink& host) {
    LX_TRY_AS(const Mac mac, require_mac(inside));
    LX_TRY_AS(const Mac hwaddr, require_mac(host.hwaddr));
    const UniqueFd ours(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!ours) return fail_errno("Opening", "/proc/thread-self/ns/net");
    LX_TRY_AS(NetlinkSocket there, NetlinkSocket::open_in(netns_fd));
    LX_TRY_AS(const auto link, find_link(there, mac));
    // The guest may have made others with this address; none of them can pass for hardware.
    if (!link || link->kind != host.kind) return {};
    NetlinkMessage move(RTM_SETLINK, 0, down(link->index));
    move.add_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(ours.get()));
    move.add(IFLA_IFNAME, host.name);
    LX_TRY(there.change(std::move(move), fmt::format("Taking interface '{}' back", host.name)));
    LX_TRY_AS(NetlinkSocket here, NetlinkSocket::open());
    LX_TRY_AS(const auto back, find_link(here, host.name));
    if (!back) return {};
    return here.change(as_on_host(*back, host, hwaddr), fmt::format("Restoring interface '{}'", host.name));
}

Result<> restore_link(const std::string& inside, const HostLink& host) {
    LX_TRY_AS(const Mac mac, require_mac(inside));
    LX_TRY_AS(const Mac hwaddr, require_mac(host.hwaddr));
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto present, find_link(socket, host.name));
    if (present) return {};
    LX_TRY_AS(const auto link, find_link(socket, mac));
    if (!link || link->kind != host.kind) return {};
    return socket.change(as_on_host(*link, host, hwaddr), fmt::format("Restoring interface '{}'", host.name));
}

}  // namespace lxmgr::network
