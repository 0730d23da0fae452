#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"
#include "network/ip.h"

/// A bridge's config keys as values. Everything that reaches the kernel, nftables or dnsmasq comes from here,
/// so that no text of a user does.
namespace lxmgr::network {

/// managed: names of the instances' own claims only; dynamic: clients may register a name of their own; none:
/// no names.
enum class DnsMode { managed, dynamic, none };

template <typename Net, typename Range>
struct FamilyConfig {
    std::optional<Net> address;  ///< of the bridge itself; none: the family is off
    bool nat = false;
    bool dhcp = true;
    bool firewall = true;
    bool routing = true;
    std::vector<Range> ranges;       ///< handed out by DHCP; empty: the whole subnet
    std::string dhcp_expiry = "1h";  ///< dnsmasq's words, checked
};

struct BridgeConfig {
    Mac hwaddr{};
    std::uint32_t mtu = 1500;
    std::string domain = "lxd";
    DnsMode dns_mode = DnsMode::managed;
    std::vector<std::string> search;  ///< search list announced; empty: the domain
    FamilyConfig<Ipv4Net, Ipv4Range> ipv4;
    std::optional<std::uint32_t> ipv4_dhcp_gateway;
    FamilyConfig<Ipv6Net, Ipv6Range> ipv6;
    bool ipv6_stateful = false;

    /// What DHCP and choose_ipv4() hand out: ipv4.ranges, or the subnet without its first and last address.
    [[nodiscard]] std::vector<Ipv4Range> ipv4_pool() const;
    [[nodiscard]] bool serves_ipv4() const { return ipv4.address && ipv4.dhcp; }
};

/// Reads a complete config (complete_bridge_config() has been over it). Errors: `bad_request` naming key,
/// value and what is allowed; unknown keys and known ones that this daemon does not serve are errors.
Result<BridgeConfig> parse_bridge_config(const std::string& name, const api::ConfigMap& config);

}  // namespace lxmgr::network
