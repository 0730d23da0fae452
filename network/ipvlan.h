#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "network/routes.h"

/// An interface on a parent of the host with the parent's MAC address and addresses of its own:
/// https://docs.kernel.org/networking/ipvlan.html
namespace lxmgr::network {

struct IpvlanRequest {
    std::string parent;      ///< interface of the calling thread's namespace
    std::string guest_name;  ///< empty: the first free of eth0, eth1, ...
    std::string mark;     ///< alias of the interface, by which it is found again whatever its name is by then
    bool layer2 = false;  ///< L2: the guest answers for its addresses; else L3S, the host routes them
    int mtu = 0;          ///< 0: the parent's
    int netns_fd = -1;
    std::vector<AnyNet> addresses;  ///< of the guest; with L3S each alone, no nets
    std::vector<AnyNet> gateways;   ///< of L2; one of each family at most
    std::vector<int>
        default_routes;  ///< of L3S: families (AF_INET, AF_INET6) that get one, straight to the link
    std::optional<std::uint32_t> ipv4_table,
        ipv6_table;  ///< of the host, with the routes besides the main one
    /// Metric of the host's routes to the addresses: by it a NIC knows its own.
    std::uint32_t metric = 0;
};
/// Errors: `bad_request` when there is no such parent, or the kernel has no ipvlan; `conflict` when the host
/// has a route to an address already. A failure leaves nothing.
Result<> create_ipvlan(const IpvlanRequest& request);
/// Deletes the ipvlan interface with this mark in a namespace; absent is success.
Result<> delete_ipvlan(int netns_fd, const std::string& mark);
/// What create_ipvlan() has made on the host itself. What is absent, the parent too, is success.
Result<> forget_ipvlan(const IpvlanRequest& request);

}  // namespace lxmgr::network
