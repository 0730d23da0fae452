#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "network/ip.h"
#include "network/netlink.h"

/// Links, addresses and routes of the calling thread's network namespace.
namespace lxmgr::network {

struct Link {
    int index = 0;
    std::string name, kind, alias;  ///< kind: rtnetlink's, "bridge", "veth", ...; empty for hardware
    Mac hwaddr{};
    std::uint32_t mtu = 0;
    bool up = false;
};

/// nullopt: there is no such link.
Result<std::optional<Link>> find_link(NetlinkSocket& socket, const std::string& name);

/// The first link with this MAC, of a dump.
Result<std::optional<Link>> find_link(NetlinkSocket& socket, const Mac& hwaddr);

struct BridgeLink {
    std::string name;
    std::string alias;  ///< IFLA_IFALIAS: how we know our own bridges again
    Mac hwaddr{};
    std::uint32_t mtu = 1500;
};
/// A bridge without spanning tree, down and not yet marked. An existing link of that name is an error with
/// EEXIST.
Result<> create_bridge(NetlinkSocket& socket, const BridgeLink& bridge);
/// Sets its alias. RTM_NEWLINK with NLM_F_CREATE ignores IFLA_IFALIAS (rtnl_create_link), so that it takes a
/// second step.
Result<> mark_link(NetlinkSocket& socket, const BridgeLink& bridge);
/// MAC and MTU of an existing link, and up.
Result<> set_link_up(NetlinkSocket& socket, int index, const BridgeLink& bridge);

/// Makes the global addresses of a link exactly these; link-local ones are left alone. An address of IPv6 is
/// usable at once: no duplicate detection, which would wait for a first port.
Result<> set_addresses(NetlinkSocket& socket, int index, const std::vector<Ipv4Net>& ipv4,
                       const std::vector<Ipv6Net>& ipv6);

/// Destinations of all unicast routes of the main and local tables but the default route: what is in use.
Result<std::vector<Ipv4Net>> used_ipv4_nets(NetlinkSocket& socket);

}  // namespace lxmgr::network
