#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"
#include "network/firewall_policy.h"
#include "network/ip.h"
#include "network/tunnels.h"

/// A bridge's config keys as values. Everything that reaches the kernel, nftables or dnsmasq comes from here,
/// so that no text of a user does.
namespace lxmgr::network {

/// managed: names of the instances' own claims only; dynamic: clients may register a name of their own; none:
/// no names.
enum class DnsMode { managed, dynamic, none };

template <typename Net, typename Range, typename Address>
struct FamilyConfig {
    std::optional<Net> address;  ///< of the bridge itself; none: the family is off
    bool nat = false;
    bool dhcp = true;
    bool firewall = true;
    bool routing = true;
    std::optional<Address>
        nat_address;                 ///< of the host, that packets leave with; none: that of their way out
    bool nat_after = false;          ///< of other translations of the host
    std::vector<Net> routes;         ///< more that is behind the bridge
    std::vector<Range> ranges;       ///< handed out by DHCP; empty: the whole subnet
    std::string dhcp_expiry = "1h";  ///< dnsmasq's words, checked
};

struct BridgeConfig {
    Mac hwaddr{};
    std::uint32_t mtu = 1500;
    bool mtu_given = false;  ///< by the user
    bool multicast_snooping = true;
    std::vector<std::string> external_interfaces;  ///< of the host, that become ports
    std::string domain = "lxd";
    DnsMode dns_mode = DnsMode::managed;
    std::vector<std::string> search;  ///< search list announced; empty: the domain
    FamilyConfig<Ipv4Net, Ipv4Range, std::uint32_t> ipv4;
    std::optional<std::uint32_t> ipv4_dhcp_gateway;
    FamilyConfig<Ipv6Net, Ipv6Range, Ipv6> ipv6;
    bool ipv6_stateful = false;
    bool ipv6_ra = true;
    std::vector<std::string> ipv4_nameservers, ipv6_nameservers;  ///< announced; empty: the bridge itself
    std::vector<std::pair<Ipv4Net, std::uint32_t>> dhcp_routes;   ///< announced: subnet and gateway
    std::vector<std::string> acls;  ///< names; what they hold is in a FirewallPolicy
    AclDefault acl_ingress, acl_egress;
    std::vector<Tunnel> tunnels;
    std::vector<std::string> raw_dnsmasq;  ///< more arguments, parse_raw_dnsmasq()

    /// What DHCP and choose_ipv4() hand out: ipv4.ranges, or the subnet without its first and last address.
    [[nodiscard]] std::vector<Ipv4Range> ipv4_pool() const;
    /// What choose_ipv6() gives to NICs: ipv6.ranges, or the subnet without its first two addresses.
    [[nodiscard]] std::vector<Ipv6Range> ipv6_pool() const;
    /// Whether DHCPv6 hands out addresses.
    [[nodiscard]] bool serves_ipv6() const { return ipv6.address && ipv6.dhcp && ipv6_stateful; }
    [[nodiscard]] bool serves_ipv4() const { return ipv4.address && ipv4.dhcp; }
};

/// Reads a complete config (complete_bridge_config() has been over it). Errors: `bad_request` naming key,
/// value and what is allowed; unknown keys and known ones that this daemon does not serve are errors.
Result<BridgeConfig> parse_bridge_config(const std::string& name, const api::ConfigMap& config);

}  // namespace lxmgr::network
