#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lxd-daemon/api/network_acl.h"
#include "lxd-daemon/api/network_forward.h"
#include "lxd-daemon/base/result.h"
#include "network/ip.h"

/// What beside a bridge's own config goes into its rules: ACLs and forwards, read from what users wrote.
/// Everything is a number by then, so that no text of theirs reaches nftables.
namespace lxmgr::network {

struct PortRange {
    std::uint16_t first = 0, last = 0;
    bool operator==(const PortRange&) const = default;
};
/// "80", "80-90,443": sorted, and those that overlap or touch joined. nullopt when it is not that. At most
/// 512.
std::optional<std::vector<PortRange>> parse_ports(std::string_view text);

/// Addresses, ranges (A-B) and subnets between commas, each family sorted and joined. At most 512.
struct AddressRanges {
    std::vector<Ipv4Range> ipv4;
    std::vector<Ipv6Range> ipv6;
    [[nodiscard]] bool empty() const { return ipv4.empty() && ipv6.empty(); }
};
std::optional<AddressRanges> parse_address_ranges(std::string_view text);

struct AclRule {
    enum class Action { drop, reject, allow };  ///< in the order in which they count
    enum class Protocol { any, tcp, udp, icmp4, icmp6 };
    Action action = Action::allow;
    Protocol protocol = Protocol::any;
    bool logged = false;
    AddressRanges source, destination;  ///< empty: any
    std::vector<PortRange> source_ports, destination_ports;
    std::optional<int> icmp_type, icmp_code;
};
/// Errors: `bad_request` naming field and value. A disabled rule is checked too.
Result<AclRule> parse_acl_rule(const api::NetworkAclRule& rule);
/// 1 to 63 letters, digits, '-', '_' and '.', the first a letter. Errors: `bad_request`.
Result<> check_acl_name(std::string_view name);
Result<AclRule::Action> parse_acl_action(std::string_view word);

/// One ACL in force on a bridge: disabled rules left out.
struct Acl {
    std::string name;
    std::vector<AclRule> ingress, egress;
};
Result<Acl> parse_acl(const api::NetworkAcl& acl);

/// What happens to what no rule matched.
struct AclDefault {
    AclRule::Action action = AclRule::Action::reject;
    bool logged = false;
};

/// Ports of the listening address that go to a target; in pairs of ranges of the same length.
struct ForwardPorts {
    bool udp = false;
    std::vector<std::pair<PortRange, PortRange>> ports;  ///< listen, target
    std::uint32_t target_ipv4 = 0;
    Ipv6 target_ipv6{};
};
struct Forward {
    bool ipv6 = false;
    std::uint32_t listen_ipv4 = 0;
    Ipv6 listen_ipv6{};
    std::optional<std::uint32_t> target_ipv4;  ///< of all that no port says
    std::optional<Ipv6> target_ipv6;
    std::vector<ForwardPorts> ports;
};
struct BridgeConfig;
/// Errors: `bad_request` naming field and value; targets must be in the bridge's subnet.
Result<Forward> parse_forward(const api::NetworkForward& forward, const BridgeConfig& bridge);

struct FirewallPolicy {
    std::vector<Acl> acls;  ///< none: everything passes
    AclDefault ingress, egress;
    std::vector<Forward> forwards;
};

}  // namespace lxmgr::network
