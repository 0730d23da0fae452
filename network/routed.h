#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "network/ip.h"

/// A veth pair whose guest has its own addresses, which the host routes to it and answers for on the network
/// of a parent (proxy ARP and NDP).
namespace lxmgr::network {

struct RoutedNets {
    std::vector<Ipv4Net> ipv4;
    std::vector<Ipv6Net> ipv6;
    [[nodiscard]] bool empty() const { return ipv4.empty() && ipv6.empty(); }
};

struct RoutedRequest {
    std::string host_name, guest_name, hwaddr, parent;  ///< parent: empty for none
    int mtu = 0;                                        ///< 0: the parent's, else the kernel's choice
    int netns_fd = -1;
    std::vector<std::uint32_t> ipv4;  ///< of the guest
    std::vector<Ipv6> ipv6;
    RoutedNets routes;            ///< more that is reached through it
    std::uint32_t ipv4_host = 0;  ///< on the host's end: the guest's gateway
    Ipv6 ipv6_host{};
    bool ipv4_gateway = true, ipv6_gateway = true;  ///< whether the guest gets a default route
    std::vector<std::uint32_t> ipv4_tables,
        ipv6_tables;   ///< of the host, with the routes; none: the main one
    std::string vrf;   ///< of the host's end; its table is then the one for routes unless others are given
    int tx_queue = 0;  ///< as in VethRequest
    bool connected = true;
    std::function<Result<>()> prepare{};
};

/// Makes the routes of the host out of an interface exactly these; they go with it. Errors: `conflict` when
/// there is one already.
Result<> route_through(const std::string& interface, const RoutedNets& nets);

/// The NIC of a bridge to which nets are routed: by its own addresses where they are known, else the guest
/// must answer for what is in the nets.
struct BridgedNets {
    std::string bridge;
    RoutedNets nets;
    std::optional<std::uint32_t> ipv4;
    std::optional<Ipv6> ipv6;
};
/// Errors: `conflict` when the host has a route to one already; a failure leaves none.
Result<> route_to_nic(const BridgedNets& nic);
/// Those that route_to_nic() made; what is absent, the bridge too, is success.
Result<> unroute_nic(const std::string& bridge, const RoutedNets& nets);

/// What a parent must have been set to by the administrator: forwarding, and proxying of NDP for IPv6.
/// Errors: `bad_request` that names the setting.
Result<> check_routed_parent(const std::string& parent, bool ipv4, bool ipv6);
/// Errors: `conflict` when another guest has an address. A failure leaves nothing.
Result<> create_routed(const RoutedRequest& request);
/// Takes the guest's carrier, and the host's routes with it, or gives them back. What is so already is
/// success.
Result<> connect_routed(const RoutedRequest& request, bool connected);
/// Takes away what create_routed() made; the pair by its name on the host. What is absent is success.
Result<> remove_routed(const RoutedRequest& request);

}  // namespace lxmgr::network
