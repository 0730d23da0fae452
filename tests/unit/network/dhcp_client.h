#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace lxmgr::network {

/// What a guest's DHCP client gets from the server, by a real exchange on an interface of the calling
/// thread's namespace.
struct DhcpOffer {
    std::string address;
    std::map<int, std::string> options;  ///< raw, by code
};
/// DISCOVER, OFFER, REQUEST, ACK. nullopt when the server does not answer within some seconds.
std::optional<DhcpOffer> dhcp_exchange(const std::string& interface, const std::string& hwaddr,
                                       const std::string& client_id = {}, const std::string& hostname = {});

/// Gives an interface its address (ioctl) and a default route, so that packets go further than the link.
void configure_ipv4(const std::string& interface, const std::string& address, int prefix,
                    const std::string& gateway);

/// Asks a server for an A record over UDP: the address, "NXDOMAIN", "EMPTY", or "TIMEOUT" after `timeout_ms`.
std::string dns_lookup(const std::string& server, const std::string& name, int timeout_ms = 3000);

}  // namespace lxmgr::network
