#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

/// Addresses as values: parsing, printing and the arithmetic of subnets. Pure functions.
namespace lxmgr::network {

using Mac = std::array<std::uint8_t, 6>;
using Ipv6 = std::array<std::uint8_t, 16>;

/// An IPv4 address is held in host byte order.
std::optional<std::uint32_t> parse_ipv4(std::string_view text);
std::string format_ipv4(std::uint32_t address);
std::optional<Ipv6> parse_ipv6(std::string_view text);
std::string format_ipv6(const Ipv6& address);
/// "aa:bb:cc:dd:ee:ff" in either case.
std::optional<Mac> parse_mac(std::string_view text);
/// As parse_mac(); bad_request names what is not one.
Result<Mac> require_mac(const std::string& text);
std::string format_mac(const Mac& mac);

/// An interface's IPv4 address with the length of its prefix.
struct Ipv4Net {
    std::uint32_t address = 0;
    int prefix = 0;
    bool operator==(const Ipv4Net&) const = default;
    [[nodiscard]] std::uint32_t mask() const { return prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix); }
    [[nodiscard]] std::uint32_t network() const { return address & mask(); }
    [[nodiscard]] std::uint32_t broadcast() const { return network() | ~mask(); }
    [[nodiscard]] bool contains(std::uint32_t other) const { return (other & mask()) == network(); }
    [[nodiscard]] bool overlaps(const Ipv4Net& other) const;
};
struct Ipv6Net {
    Ipv6 address{};
    int prefix = 0;
    bool operator==(const Ipv6Net&) const = default;
    [[nodiscard]] Ipv6 network() const;
    [[nodiscard]] bool contains(const Ipv6& other) const;
    [[nodiscard]] bool overlaps(const Ipv6Net& other) const;
};
/// "10.1.2.1/24"; the host part is kept.
std::optional<Ipv4Net> parse_ipv4_net(std::string_view text);
std::optional<Ipv6Net> parse_ipv6_net(std::string_view text);
std::string format(const Ipv4Net& net);
std::string format(const Ipv6Net& net);

/// First and last address of a range, both included.
struct Ipv4Range {
    std::uint32_t first = 0, last = 0;
    bool operator==(const Ipv4Range&) const = default;
    [[nodiscard]] std::uint64_t size() const { return std::uint64_t{last} - first + 1; }
};
struct Ipv6Range {
    Ipv6 first{}, last{};
    bool operator==(const Ipv6Range&) const = default;
};

/// The address that stateless autoconfiguration gives to a MAC in a /64, RFC 4291 appendix A.
Ipv6 eui64(const Ipv6Net& net, const Mac& mac);

}  // namespace lxmgr::network
