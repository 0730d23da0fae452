#include "lxd-daemon/devices/nic_traffic.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/nic_identity.h"
#include "network/shaping.h"
#include "profiles/config_keys.h"

namespace lxmgr::devices {
namespace {

constexpr std::array<std::string_view, 8> kKeys{
    "limits.egress",          "limits.ingress",          "limits.max",
    "limits.priority",        "security.ipv4_filtering", "security.ipv6_filtering",
    "security.mac_filtering", "security.port_isolation"};

/// limits.max stands for both directions, as in LXD.
std::uint64_t rate_of(const DeviceContext& context, std::string_view key) {
    const std::string text = first_of(context.key("limits.max"), context.key(key));
    return text.empty() ? 0 : profiles::parse_bit_rate(text).value_or(0);
}

bool is_on(const DeviceContext& context, std::string_view key) {
    return profiles::parse_bool(context.key(key));
}

Result<std::vector<std::uint32_t>> ipv4_sources(const DeviceContext& context, const std::string& claimed) {
    if (context.key("ipv4.address") == kNoAddress) return std::vector<std::uint32_t>{};
    const auto address = network::parse_ipv4(first_of(context.key("ipv4.address"), claimed));
    if (address) return std::vector{*address};
    return bad_nic(context,
                   "security.ipv4_filtering needs ipv4.address, or a managed network that gives addresses");
}

/// What the NIC's MAC address gives it by itself, on the link and in the net that the bridge announces; and
/// what it was given.
Result<std::vector<network::Ipv6>> ipv6_sources(const DeviceContext& context, const network::Mac& mac,
                                                const std::string& claimed) {
    if (context.key("ipv6.address") == kNoAddress) return std::vector<network::Ipv6>{};
    const network::Ipv6Net on_link{{0xfe, 0x80}, 64};
    std::vector out{network::eui64(on_link, mac)};
    if (const auto own = network::parse_ipv6(first_of(context.key("ipv6.address"), claimed)))
        out.push_back(*own);
    const auto config = context.surroundings.network_config(context.key("network"));
    if (!config) {
        if (!context.key("ipv6.address").empty()) return out;
        return bad_nic(
            context,
            "security.ipv6_filtering needs ipv6.address, or a managed network: its addresses are known");
    }
    const auto value = [&config](const char* key) {
        const auto found = config->find(key);
        return found == config->end() ? std::string() : found->second;
    };
    const auto net = network::parse_ipv6_net(value("ipv6.address"));
    const bool stateful = profiles::parse_bool(value("ipv6.dhcp.stateful"));
    if (net && net->prefix == 64 && !stateful) out.push_back(network::eui64(*net, mac));
    return out;
}

}  // namespace

std::vector<std::string_view> with_traffic_keys(std::vector<std::string_view> keys) {
    keys.insert(keys.end(), kKeys.begin(), kKeys.end());
    return keys;
}

bool same_traffic(const DeviceContext& a, const DeviceContext& b) {
    const auto same = [&](std::string_view key) { return a.key(key) == b.key(key); };
    return std::ranges::all_of(kKeys, same) && same("ipv4.address") && same("ipv6.address") &&
           same("ipv4.routes") && same("ipv6.routes") && same("ipv4.routes.external") &&
           same("ipv6.routes.external");
}

Result<NicTraffic> traffic_of(const DeviceContext& context, const NicEnd& end) {
    NicTraffic out;
    out.ingress_bits = rate_of(context, "limits.ingress");
    if (!first_of(context.key("network"), context.key("parent")).empty() &&
        context.key("nictype") != "routed")
        out.isolated = is_on(context, "security.port_isolation");
    out.rules.host_name = end.host_name;
    out.rules.bits_per_second = rate_of(context, "limits.egress");
    if (const auto priority = parse_uint(context.key("limits.priority")))
        out.rules.priority = static_cast<std::uint32_t>(*priority);
    const bool by_ipv4 = is_on(context, "security.ipv4_filtering");
    const bool by_ipv6 = is_on(context, "security.ipv6_filtering");
    if (!by_ipv4 && !by_ipv6 && !is_on(context, "security.mac_filtering")) return out;
    out.rules.hwaddr = end.hwaddr;
    const auto routed = nets_of(context);
    if (by_ipv4) {
        out.rules.ipv4_nets = routed.ipv4;
        LX_TRY_AS(out.rules.ipv4, ipv4_sources(context, end.addresses.ipv4));
    }
    if (by_ipv6) {
        out.rules.ipv6_nets = routed.ipv6;
        const auto mac = network::parse_mac(out.rules.hwaddr).value_or(network::Mac{});
        LX_TRY_AS(out.rules.ipv6, ipv6_sources(context, mac, end.addresses.ipv6));
    }
    return out;
}

Result<> validate_traffic(const DeviceContext& context) {
    for (const char* family : {"ipv4", "ipv6"}) {
        const std::string filter = fmt::format("security.{}_filtering", family);
        if (context.key(fmt::format("{}.address", family)) == kNoAddress && !is_on(context, filter))
            return bad_nic(context, fmt::format("{}.address 'none' needs {}: true", family, filter));
    }
    const bool is_given = !context.key("network").empty();
    LX_TRY(traffic_of(context, {"", "", {is_given ? "0.0.0.0" : "", ""}}));
    return {};
}

std::function<Result<>()> traffic_setup(const NicTraffic& traffic) {
    if (traffic.empty()) return {};
    return [traffic]() -> Result<> {
        if (traffic.ingress_bits != 0)
            LX_TRY(network::limit_rate(traffic.rules.host_name, traffic.ingress_bits));
        if (traffic.isolated.value_or(false)) LX_TRY(network::isolate_port(traffic.rules.host_name, true));
        return traffic.rules.empty() ? Result<>{} : network::apply_nic_rules(traffic.rules);
    };
}

Result<> apply_traffic(const NicTraffic& traffic) {
    LX_TRY(network::limit_rate(traffic.rules.host_name, traffic.ingress_bits));
    if (traffic.isolated) LX_TRY(network::isolate_port(traffic.rules.host_name, *traffic.isolated));
    return network::apply_nic_rules(traffic.rules);
}

Result<> change_traffic(const DeviceContext& before, const DeviceContext& after,
                        const NicAddresses& addresses) {
    const std::string host_name = after.volatile_value("host_name");
    LX_TRY_AS(const NicTraffic wanted, traffic_of(after, {host_name, hwaddr_of(after), addresses}));
    auto applied = apply_traffic(wanted);
    if (applied) return {};
    if (const auto held = traffic_of(before, {host_name, hwaddr_of(before), addresses}))
        static_cast<void>(apply_traffic(*held).has_value());
    return applied;
}

Result<> recover_traffic(const DeviceContext& context, const NicAddresses& addresses) {
    const NicEnd end{context.volatile_value("host_name"), hwaddr_of(context), addresses};
    LX_TRY_AS(const NicTraffic traffic, traffic_of(context, end));
    if (traffic.rules.empty()) network::expect_no_nic_rules(end.host_name);
    return apply_traffic(traffic);
}

int tx_queue_of(const DeviceContext& context) {
    return static_cast<int>(parse_uint(context.key("queue.tx.length")).value_or(0));
}

}  // namespace lxmgr::devices
