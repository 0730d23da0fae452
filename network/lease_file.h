#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "network/ip.h"

/// dnsmasq's lease database (--dhcp-leasefile): what it rewrites at every change.
namespace lxmgr::network {

struct FileLease {
    std::int64_t expires_s = 0;  ///< seconds since 1970; 0: never
    std::optional<Mac> hwaddr;   ///< of IPv6 leases as far as the DUID tells (RFC 8415, 11.2 and 11.4)
    std::variant<std::uint32_t, Ipv6> address;
    std::string hostname;   ///< empty: none
    std::string client_id;  ///< raw bytes; empty: none
    bool operator==(const FileLease&) const = default;
    [[nodiscard]] std::string address_text() const;
};

/// Reads what can be read: lines that are not understood are left out, clients decide what is in them.
/// Format: "expiry mac address name client-id" for IPv4; after a line "duid ...", "expiry iaid address name
/// duid" for IPv6; "*" for no name or id (dnsmasq 2.90, lease.c).
std::vector<FileLease> parse_leases(std::string_view text, std::int64_t now_s);

}  // namespace lxmgr::network
