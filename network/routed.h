#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "network/ip.h"

/// A veth pair whose guest has its own addresses, which the host routes to it and answers for on the network
/// of a parent (proxy ARP and NDP).
namespace lxmgr::network {

struct RoutedRequest {
    std::string host_name, guest_name, hwaddr, parent;  ///< parent: empty for none
    int mtu = 0;                                        ///< 0: the parent's, else the kernel's choice
    int netns_fd = -1;
    std::vector<std::uint32_t> ipv4;  ///< of the guest
    std::vector<Ipv6> ipv6;
    std::vector<Ipv4Net> ipv4_routes;  ///< more that is reached through it
    std::vector<Ipv6Net> ipv6_routes;
    std::uint32_t ipv4_host = 0;  ///< on the host's end: the guest's gateway
    Ipv6 ipv6_host{};
    bool ipv4_gateway = true, ipv6_gateway = true;  ///< whether the guest gets a default route
};

/// What a parent must have been set to by the administrator: forwarding, and proxying of NDP for IPv6.
/// Errors: `bad_request` that names the setting.
Result<> check_routed_parent(const std::string& parent, bool ipv4, bool ipv6);
/// Errors: `conflict` when another guest has an address. A failure leaves nothing.
Result<> create_routed(const RoutedRequest& request);
/// Takes away what create_routed() made; the pair by its name on the host. What is absent is success.
Result<> remove_routed(const RoutedRequest& request);

}  // namespace lxmgr::network
