#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "network/ip.h"
#include "network/netlink.h"

/// Links, addresses and routes of the calling thread's network namespace.
namespace lxmgr::network {

/// IFLA_IFNAME of an interface that may be called anything: the kernel puts the lowest free number in
/// (dev_alloc_name).
inline constexpr std::string_view kAnyEthernetName = "eth%d";

struct Link {
    int index = 0;
    std::string name, kind, alias;  ///< kind: rtnetlink's, "bridge", "veth", ...; empty for hardware
    Mac hwaddr{};
    std::uint32_t mtu = 0;
    int master = 0;  ///< index; 0: none
    bool up = false;
};

/// nullopt: there is no such link.
Result<std::optional<Link>> find_link(NetlinkSocket& socket, const std::string& name);

/// The first link with this MAC, of a dump.
Result<std::optional<Link>> find_link(NetlinkSocket& socket, const Mac& hwaddr);

Result<std::vector<Link>> list_links(NetlinkSocket& socket);
/// Makes a link a port of a bridge; 0: of none.
Result<> set_master(NetlinkSocket& socket, const Link& link, int master);
/// Plugs an interface into a bridge where it is in another or none. True: it was not there.
Result<bool> replug(const std::string& interface, const std::string& bridge);
/// Sets the alias of any link.
Result<> set_alias(NetlinkSocket& socket, const std::string& name, const std::string& alias);

/// Brings a link up or down.
Result<> set_link_state(NetlinkSocket& socket, const Link& link, bool up);

struct BridgeLink {
    std::string name;
    std::string alias;  ///< IFLA_IFALIAS: how we know our own bridges again
    Mac hwaddr{};
    std::uint32_t mtu = 1500;
    bool multicast_snooping = true;
};
/// A bridge without spanning tree, down and not yet marked. An existing link of that name is an error with
/// EEXIST.
Result<> create_bridge(NetlinkSocket& socket, const BridgeLink& bridge);
/// Sets its alias. RTM_NEWLINK with NLM_F_CREATE ignores IFLA_IFALIAS (rtnl_create_link), so that it takes a
/// second step.
Result<> mark_link(NetlinkSocket& socket, const BridgeLink& bridge);
/// MAC and MTU of an existing link, and up.
Result<> set_link_up(NetlinkSocket& socket, int index, const BridgeLink& bridge);

/// Routes that we made are marked as such, apart for networks and NICs: others stay alone. rtnetlink(7):
/// numbers above 4 are free for programs.
inline constexpr std::uint8_t kNetworkRoutes = 0x6c;
inline constexpr std::uint8_t kNicRoutes = 0x6d;

/// Makes the global addresses of a link exactly these; link-local ones are left alone. An address of IPv6 is
/// usable at once: no duplicate detection, which would wait for a first port.
Result<> set_addresses(NetlinkSocket& socket, int index, const std::vector<Ipv4Net>& ipv4,
                       const std::vector<Ipv6Net>& ipv6);

/// Destinations of all unicast routes of the main and local tables but the default route: what is in use.
Result<std::vector<Ipv4Net>> used_ipv4_nets(NetlinkSocket& socket);

}  // namespace lxmgr::network
