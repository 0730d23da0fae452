#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "network/dnsmasq.h"
#include "network/dnsmasq_user.h"

namespace lxmgr::network {
namespace {

constexpr std::uint64_t kMaxLeases = 65536;
constexpr std::uint32_t kDefaultMtu = 1500;

void add_dns(std::vector<std::string>& out, const BridgeConfig& config) {
    if (config.dns_mode == DnsMode::none) {
        out.emplace_back("--dhcp-ignore-names");
        return;
    }
    out.push_back(fmt::format("--domain={}", config.domain));
    out.push_back(fmt::format("--local=/{}/", config.domain));
    // Clients without an entry of ours (something nested in an instance, say) must not take an instance's
    // name.
    if (config.dns_mode == DnsMode::managed) out.emplace_back("--dhcp-ignore-names=tag:!known");
    // A client called wpad would become the proxy of the others, dnsmasq(8) --dhcp-name-match.
    if (config.dns_mode == DnsMode::dynamic) {
        out.emplace_back("--dhcp-name-match=set:wpad-ignore,wpad");
        out.emplace_back("--dhcp-ignore-names=tag:wpad-ignore");
    }
}

void add_ipv4(std::vector<std::string>& out, const BridgeConfig& config) {
    if (!config.serves_ipv4()) return;
    for (const Ipv4Range& range : config.ipv4_pool()) {
        out.push_back(fmt::format("--dhcp-range={},{},{},{}", format_ipv4(range.first),
                                  format_ipv4(range.last), format_ipv4(config.ipv4.address->mask()),
                                  config.ipv4.dhcp_expiry));
    }
    // Addresses that are chosen need not be of the ranges, and leases of DHCPv6 count too.
    const std::uint64_t hosts = config.ipv4.address->broadcast() - config.ipv4.address->network() - 2;
    const std::uint64_t leases = config.serves_ipv6() ? 2 * hosts : hosts;
    out.push_back(fmt::format("--dhcp-lease-max={}", std::min(leases, kMaxLeases)));
    if (config.ipv4_dhcp_gateway)
        out.push_back(fmt::format("--dhcp-option=3,{}", format_ipv4(*config.ipv4_dhcp_gateway)));
    if (!config.ipv4_nameservers.empty())
        out.push_back(fmt::format("--dhcp-option=6,{}", fmt::join(config.ipv4_nameservers, ",")));
    if (!config.dhcp_routes.empty()) {
        std::string routes;
        for (const auto& [net, gateway] : config.dhcp_routes)
            routes += fmt::format(",{},{}", format(net), format_ipv4(gateway));
        out.push_back("--dhcp-option=121" + routes);
    }
    if (config.mtu != kDefaultMtu) out.push_back(fmt::format("--dhcp-option-force=26,{}", config.mtu));
    if (!config.search.empty())
        out.push_back(fmt::format("--dhcp-option-force=119,{}", fmt::join(config.search, ",")));
}

void add_ipv6(std::vector<std::string>& out, const std::string& bridge, const BridgeConfig& config) {
    if (!config.ipv6.address) return;
    if (config.ipv6_ra) out.emplace_back("--enable-ra");
    if (!config.search.empty())
        out.push_back(fmt::format("--dhcp-option=option6:domain-search,{}", fmt::join(config.search, ",")));
    if (!config.ipv6_nameservers.empty()) {
        out.push_back(
            fmt::format("--dhcp-option=option6:dns-server,[{}]", fmt::join(config.ipv6_nameservers, "],[")));
    }
    if (!config.ipv6_ra && !config.serves_ipv6()) return;
    if (!config.ipv6.dhcp) {
        out.push_back(fmt::format("--dhcp-range=::,constructor:{},ra-only", bridge));
        return;
    }
    if (!config.ipv6_stateful) {
        out.push_back(fmt::format("--dhcp-range=::,constructor:{},ra-stateless,ra-names", bridge));
        return;
    }
    for (const Ipv6Range& range : config.ipv6_pool()) {
        out.push_back(fmt::format("--dhcp-range={},{},{},{}", format_ipv6(range.first),
                                  format_ipv6(range.last), config.ipv6.address->prefix,
                                  config.ipv6.dhcp_expiry));
    }
}

}  // namespace

std::vector<std::string> dnsmasq_arguments(const std::string& bridge, const std::string& state_dir,
                                           const BridgeConfig& config) {
    std::vector<std::string> out{
        "dnsmasq",
        "--conf-file=",  // none: not the host's
        fmt::format("--pid-file={}/dnsmasq.pid", state_dir),
        fmt::format("--user={}", dnsmasq_user()),
        fmt::format("--interface={}", bridge),
        "--except-interface=lo",
        "--bind-interfaces",
        "--no-hosts",       // the host's own names are not the guests' business
        "--domain-needed",  // names without a dot never leave this machine
        "--strict-order",
        "--no-ping",
        "--dhcp-authoritative",
        "--dhcp-no-override",
        "--dhcp-rapid-commit",
        "--quiet-dhcp",
        "--quiet-dhcp6",
        "--quiet-ra",
        fmt::format("--dhcp-leasefile={}/dnsmasq.leases", state_dir),
        fmt::format("--dhcp-hostsdir={}/dnsmasq.hosts", state_dir),
    };
    add_dns(out, config);
    add_ipv4(out, config);
    add_ipv6(out, bridge, config);
    out.insert(out.end(), config.raw_dnsmasq.begin(), config.raw_dnsmasq.end());
    return out;
}

std::string host_entry(const AddressClaim& claim, const BridgeConfig& config) {
    // "id:*": the MAC alone tells NICs apart. Guests change their client id with their DHCP client, and
    // copies of one image may share a machine-id, of which networkd makes it.
    std::string out = fmt::format("{},id:*", to_lower(claim.hwaddr));
    if (!claim.ipv4.empty()) out += "," + claim.ipv4;
    if (!claim.ipv6.empty() && config.ipv6_stateful) out += fmt::format(",[{}]", claim.ipv6);
    if (config.dns_mode != DnsMode::none) out += "," + claim.instance;
    return out + "\n";
}

std::string host_file_name(const AddressClaim& claim) {
    std::string out = claim.instance + ".";
    for (const char c : claim.device) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '_';
        if (plain) {
            out += c;
        } else {
            out += fmt::format("%{:02x}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

}  // namespace lxmgr::network
