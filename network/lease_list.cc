#include "network/lease_list.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::network {
namespace {

void add_gateways(std::vector<Lease>& out, const std::string& bridge, const BridgeConfig& config) {
    const std::string hostname = bridge + ".gw";
    const std::string hwaddr = format_mac(config.hwaddr);
    if (config.ipv4.address)
        out.push_back({hostname, hwaddr, format_ipv4(config.ipv4.address->address), "gateway"});
    if (config.ipv6.address)
        out.push_back({hostname, hwaddr, format_ipv6(config.ipv6.address->address), "gateway"});
}

void add_claims(std::vector<Lease>& out, const BridgeConfig& config,
                const std::vector<AddressClaim>& claims) {
    for (const auto& claim : claims) {
        const std::string hwaddr = to_lower(claim.hwaddr);
        if (claim.is_static && !claim.ipv4.empty())
            out.push_back({claim.instance, hwaddr, claim.ipv4, "static"});
        if (!claim.ipv6.empty()) out.push_back({claim.instance, hwaddr, claim.ipv6, "static"});
        const auto mac = parse_mac(hwaddr);
        if (config.ipv6.address && !config.ipv6_stateful && mac) {
            out.push_back(
                {claim.instance, hwaddr, format_ipv6(eui64(*config.ipv6.address, *mac)), "dynamic"});
        }
    }
}

}  // namespace

std::vector<Lease> list_leases(const std::string& bridge, const BridgeConfig& config,
                               const std::vector<AddressClaim>& claims,
                               const std::vector<FileLease>& leases) {
    std::vector<Lease> out;
    add_gateways(out, bridge, config);
    add_claims(out, config, claims);
    for (const auto& lease : leases) {
        const std::string hwaddr = lease.hwaddr ? format_mac(*lease.hwaddr) : std::string();
        const std::string address = lease.address_text();
        const bool shown =
            std::ranges::any_of(out, [&](const Lease& other) { return other.address == address; });
        if (shown) continue;
        const auto owner =
            std::ranges::find_if(claims, [&](const auto& claim) { return to_lower(claim.hwaddr) == hwaddr; });
        out.push_back({owner != claims.end() ? owner->instance : lease.hostname, hwaddr, address, "dynamic"});
    }
    return out;
}

}  // namespace lxmgr::network
