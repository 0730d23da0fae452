#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "network/ip.h"

/// Tunnels that are ports of a bridge: the same network on several hosts.
namespace lxmgr::network {

using AnyAddress = std::variant<std::uint32_t, Ipv6>;
std::optional<AnyAddress> parse_address(std::string_view text);

struct Tunnel {
    enum class Protocol { none, gre, vxlan };
    std::string name;
    Protocol protocol = Protocol::none;
    std::optional<AnyAddress> local, remote, group;
    std::string interface;   ///< of the host, for multicast; empty: the one of the default route
    std::uint32_t id = 1;    ///< VXLAN network identifier
    std::uint16_t port = 0;  ///< UDP port; 0: the kernel's, 8472
    std::uint8_t ttl = 1;    ///< of multicast packets
};

/// tunnel.NAME.KEY, of which `key` is "NAME.KEY". Errors: `bad_request` without the key's name.
Result<> set_tunnel_key(std::vector<Tunnel>& tunnels, std::string_view key, std::string_view value);
/// What only all keys of a tunnel can tell. Errors: `bad_request`.
Result<> check_tunnels(const std::string& bridge, const std::vector<Tunnel>& tunnels);

/// Makes the bridge's tunnels exactly these: links named BRIDGE-NAME, marked with an alias that begins with
/// `alias`. Errors: `bad_request` where the kernel has no such tunnels.
Result<> apply_tunnels(const std::string& bridge, const std::string& alias, std::uint32_t mtu,
                       const std::vector<Tunnel>& tunnels);

}  // namespace lxmgr::network
