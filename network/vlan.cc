#include "network/vlan.h"

#include <fmt/format.h>
#include <linux/if_bridge.h>
#include <linux/if_vlan.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "network/bridge.h"
#include "network/links.h"

namespace lxmgr::network {
namespace {

constexpr std::string_view kVlanAlias = "lxmgr:vlan";
/// Name of one until it has its mark: the kernel takes no alias with the making (rtnl_create_link).
constexpr const char* kUnfinishedVlan = "lxmgr-vlan-new";

struct Filtering {
    int index = 0;
    bool on = false;
    std::uint16_t default_vlan = 1;
};

Result<Filtering> filtering_of(NetlinkSocket& socket, const std::string& bridge) {
    NetlinkMessage message(RTM_GETLINK, 0, ifinfomsg{});
    message.add(IFLA_IFNAME, bridge);
    Filtering out;
    const auto visit = [&out](const nlmsghdr* answer) {
        out.index = static_cast<const ifinfomsg*>(NLMSG_DATA(answer))->ifi_index;
        const auto data =
            NetlinkAttributes(answer, sizeof(ifinfomsg)).nested(IFLA_LINKINFO).nested(IFLA_INFO_DATA);
        out.on = data.value(IFLA_BR_VLAN_FILTERING, std::uint8_t{0}) != 0;
        out.default_vlan = data.value(IFLA_BR_VLAN_DEFAULT_PVID, std::uint16_t{1});
    };
    LX_TRY(socket.get(std::move(message), fmt::format("Looking up bridge '{}'", bridge), visit));
    return out;
}

Result<> filter_vlans(NetlinkSocket& socket, const std::string& bridge, int index) {
    ifinfomsg info{};
    info.ifi_index = index;
    NetlinkMessage message(RTM_NEWLINK, 0, info);
    const auto kind = message.begin(IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, "bridge");
    const auto data = message.begin(IFLA_INFO_DATA);
    const std::uint8_t on = 1;
    message.add(IFLA_BR_VLAN_FILTERING, &on, sizeof on);
    message.end(data);
    message.end(kind);
    auto done = socket.change(std::move(message), fmt::format("Filtering VLANs on bridge '{}'", bridge));
    if (!done && done.error().sys_errno == EOPNOTSUPP)
        return fail(Status::bad_request, fmt::format("Bridge '{}': this kernel cannot filter VLANs "
                                                     "(CONFIG_BRIDGE_VLAN_FILTERING)",
                                                     bridge));
    return done;
}

Result<> change_port(NetlinkSocket& socket, std::uint16_t type, const Link& port,
                     const std::vector<bridge_vlan_info>& vlans) {
    ifinfomsg info{};
    info.ifi_family = AF_BRIDGE;
    info.ifi_index = port.index;
    NetlinkMessage message(type, 0, info);
    const auto spec = message.begin(IFLA_AF_SPEC);
    for (const auto& vlan : vlans) message.add(IFLA_BRIDGE_VLAN_INFO, &vlan, sizeof vlan);
    message.end(spec);
    return socket.change(std::move(message), fmt::format("Setting the VLANs of '{}'", port.name));
}

void add_vlan_range(std::vector<bridge_vlan_info>& out, std::uint16_t first, std::uint16_t last) {
    if (first == last) {
        out.push_back({0, first});
        return;
    }
    out.push_back({BRIDGE_VLAN_INFO_RANGE_BEGIN, first});
    out.push_back({BRIDGE_VLAN_INFO_RANGE_END, last});
}

struct VlanOf {
    int parent = 0;  ///< index
    std::uint16_t id = 0;
};

/// What the interface is a VLAN of, whatever it is called.
Result<VlanOf> read_vlan(NetlinkSocket& socket, const Link& link) {
    ifinfomsg info{};
    info.ifi_index = link.index;
    VlanOf out;
    const auto visit = [&out](const nlmsghdr* answer) {
        const NetlinkAttributes attributes(answer, sizeof(ifinfomsg));
        out.parent = static_cast<int>(attributes.value(IFLA_LINK, std::uint32_t{0}));
        const auto data = attributes.nested(IFLA_LINKINFO).nested(IFLA_INFO_DATA);
        out.id = data.value(IFLA_VLAN_ID, std::uint16_t{0});
    };
    LX_TRY(socket.get(NetlinkMessage(RTM_GETLINK, 0, info),
                      fmt::format("Looking up interface '{}'", link.name), visit));
    return out;
}

std::string name_of_index(int index) {
    std::array<char, IFNAMSIZ> name{};
    return ::if_indextoname(static_cast<unsigned>(index), name.data()) != nullptr ? name.data()
                                                                                  : "another interface";
}

Result<std::optional<Link>> find_vlan(NetlinkSocket& socket, const VlanLink& vlan) {
    if (vlan.name().size() >= IFNAMSIZ)
        return fail(Status::bad_request,
                    fmt::format("'{}' would be longer than an interface's name can be", vlan.name()));
    LX_TRY_AS(auto link, find_link(socket, vlan.name()));
    if (!link) return link;
    if (link->kind != "vlan")
        return fail(Status::bad_request, fmt::format("Interface '{}' is not a VLAN", vlan.name()));
    LX_TRY_AS(const auto held, read_vlan(socket, *link));
    const std::string parent = name_of_index(held.parent);
    if (held.id != vlan.id || parent != vlan.parent)
        return fail(Status::bad_request,
                    fmt::format("Interface '{}' is VLAN {} of '{}', not VLAN {} of '{}': rename it",
                                vlan.name(), held.id, parent, vlan.id, vlan.parent));
    return link;
}

/// An interface without name and mark; where the parent has that VLAN by another name, EEXIST.
Result<Link> make_unfinished(NetlinkSocket& socket, const VlanLink& vlan, const Link& parent) {
    NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
    message.add(IFLA_IFNAME, kUnfinishedVlan);
    message.add_u32(IFLA_LINK, static_cast<std::uint32_t>(parent.index));
    const auto info = message.begin(IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, "vlan");
    const auto data = message.begin(IFLA_INFO_DATA);
    message.add(IFLA_VLAN_ID, &vlan.id, sizeof vlan.id);
    const ifla_vlan_flags flags{vlan.gvrp ? static_cast<std::uint32_t>(VLAN_FLAG_GVRP) : 0, VLAN_FLAG_GVRP};
    message.add(IFLA_VLAN_FLAGS, &flags, sizeof flags);
    message.end(data);
    message.end(info);
    auto made = socket.change(std::move(message), fmt::format("Creating interface '{}'", vlan.name()));
    if (!made && made.error().sys_errno == EOPNOTSUPP)
        return fail(Status::bad_request, fmt::format("Creating interface '{}': this kernel has no VLANs{}",
                                                     vlan.name(), vlan.gvrp ? ", or no GVRP" : ""));
    if (!made && made.error().sys_errno == EEXIST)
        return fail(Status::bad_request,
                    fmt::format("Creating interface '{}': '{}' has an interface of VLAN {} by another name",
                                vlan.name(), vlan.parent, vlan.id));
    LX_TRY(std::move(made));
    LX_TRY_AS(const auto link, find_link(socket, kUnfinishedVlan));
    if (!link)
        return fail(Status::internal,
                    fmt::format("Interface '{}' was taken away while it was made", vlan.name()));
    return *link;
}

/// Its name and its mark in one message, so that there is none of the name without the mark.
Result<> name_and_mark(NetlinkSocket& socket, const VlanLink& vlan, const Link& link) {
    ifinfomsg info{};
    info.ifi_index = link.index;
    NetlinkMessage message(RTM_SETLINK, 0, info);
    message.add(IFLA_IFNAME, vlan.name());
    message.add(IFLA_IFALIAS, std::string(kVlanAlias));
    return socket.change(std::move(message), fmt::format("Naming interface '{}'", vlan.name()));
}

/// What the administrator allowed the parent (check_routed_parent()), which nobody can allow to an interface
/// that is not there yet.
void copy_setting(const std::string& from, const std::string& to, const char* setting) {
    const auto held =
        read_file(fmt::format("/proc/sys/net/{}", fmt::format(fmt::runtime(setting), from)), 64);
    if (!held) return;
    const std::string path = fmt::format("/proc/sys/net/{}", fmt::format(fmt::runtime(setting), to));
    static_cast<void>(write_existing(path, std::string(trim(*held))).has_value());
}

}  // namespace

Result<> set_port_vlans(const std::string& port, const std::string& bridge, const PortVlans& vlans,
                        bool is_ours) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto filtering, filtering_of(socket, bridge));
    if (vlans.is_default() && !filtering.on) return {};
    if (!filtering.on && !is_ours)
        return fail(Status::bad_request,
                    fmt::format("Bridge '{}' does not filter VLANs: set its vlan_filtering", bridge));
    if (!filtering.on) LX_TRY(filter_vlans(socket, bridge, filtering.index));
    LX_TRY_AS(const auto link, find_link(socket, port));
    if (!link) return fail(Status::not_found, fmt::format("Interface '{}' is gone", port));
    std::vector<bridge_vlan_info> all;
    add_vlan_range(all, 1, 4094);
    LX_TRY(change_port(socket, RTM_DELLINK, *link, all));
    std::vector<bridge_vlan_info> wanted;
    for (const auto& [first, last] : vlans.tagged) add_vlan_range(wanted, first, last);
    const std::uint16_t untagged = vlans.untagged.value_or(filtering.default_vlan);
    if (!vlans.no_untagged && untagged != 0)
        wanted.push_back({BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED, untagged});
    return wanted.empty() ? Result<>{} : change_port(socket, RTM_SETLINK, *link, wanted);
}

std::string VlanLink::name() const { return fmt::format("{}.{}", parent, id); }

Result<bool> is_foreign_vlan(const VlanLink& vlan) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto link, find_vlan(socket, vlan));
    return link && link->alias != kVlanAlias;
}

Result<> create_vlan(const VlanLink& vlan) {
    LX_TRY_AS(NetlinkSocket socket, NetlinkSocket::open());
    LX_TRY_AS(const auto present, find_vlan(socket, vlan));
    if (present) return present->up ? Result<>{} : set_link_state(socket, *present, true);
    LX_TRY_AS(const auto parent, find_link(socket, vlan.parent));
    if (!parent)
        return fail(Status::bad_request, fmt::format("Parent interface '{}' does not exist", vlan.parent));
    LX_TRY(delete_unfinished_vlan());
    LX_TRY_AS(Link made, make_unfinished(socket, vlan, *parent));
    failpoint("network.vlan_made");
    if (auto named = name_and_mark(socket, vlan, made); !named) {
        static_cast<void>(delete_unfinished_vlan().has_value());
        return named;
    }
    made.name = vlan.name();
    if (auto up = set_link_state(socket, made, true); !up) {
        static_cast<void>(delete_link(vlan.name()).has_value());
        return up;
    }
    for (const char* setting :
         {"ipv4/conf/{}/forwarding", "ipv6/conf/{}/forwarding", "ipv6/conf/{}/proxy_ndp"})
        copy_setting(vlan.parent, vlan.name(), setting);
    return {};
}

Result<> delete_unfinished_vlan() { return delete_link(kUnfinishedVlan); }

}  // namespace lxmgr::network
