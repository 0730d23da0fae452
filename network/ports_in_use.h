#pragma once
#include <string>
#include <vector>

namespace lxmgr::network {

/// A program of the host that takes connections (tcp) or packets (udp).
struct HostListener {
    std::string address;  ///< empty: on every one
    int port = 0;
    bool ipv6 = false;  ///< without an address it takes those of IPv4, too
    [[nodiscard]] bool is_loopback() const { return address.starts_with("127.") || address == "::1"; }
};
std::vector<HostListener> host_listeners(bool udp);

/// Whether packets to the address come to programs of the host.
bool is_address_of_host(const std::string& address);

}  // namespace lxmgr::network
