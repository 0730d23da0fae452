#include "lxd-daemon/devices/nic_routed.h"

#include <linux/rtnetlink.h>

#include <algorithm>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/nic_identity.h"
#include "lxd-daemon/devices/nic_traffic.h"
#include "lxd-daemon/devices/nic_vlan.h"
#include "network/bridge.h"
#include "network/neighbour_probe.h"
#include "network/routed.h"
#include "profiles/config_keys.h"

namespace lxmgr::devices {
namespace {

constexpr const char* kHostIpv4 = "169.254.0.1";
constexpr const char* kHostIpv6 = "fe80::1";

/// Tables of the host that get the routes; none: the one that they would be in by themselves.
std::vector<std::uint32_t> tables_of(const DeviceContext& context, const std::string& family) {
    std::vector<std::uint32_t> out;
    for (const auto& text : list_of(context, (family + "host_tables").c_str()))
        out.push_back(static_cast<std::uint32_t>(parse_uint(text).value_or(0)));
    const auto another = parse_uint(context.key(family + "host_table"));
    if (!another) return out;
    if (out.empty()) out.push_back(RT_TABLE_MAIN);
    const auto table = static_cast<std::uint32_t>(*another);
    if (std::ranges::find(out, table) == out.end()) out.push_back(table);
    return out;
}

bool probes(const DeviceContext& context, const char* key) {
    const std::string text = context.key(key);
    return text.empty() || profiles::parse_bool(text);
}

/// What nobody on the parent's network may have.
network::Wanted probed_of(const DeviceContext& context, const network::RoutedRequest& request) {
    network::Wanted out;
    if (probes(context, "ipv4.neighbor_probe")) out.ipv4 = request.ipv4;
    if (probes(context, "ipv6.neighbor_probe")) out.ipv6 = request.ipv6;
    return out;
}

/// What the table of keys has checked is not checked again.
void read_addresses(const DeviceContext& context, network::RoutedRequest& request) {
    for (const auto& text : list_of(context, "ipv4.address"))
        request.ipv4.push_back(network::parse_ipv4(text).value_or(0));
    for (const auto& text : list_of(context, "ipv6.address"))
        request.ipv6.push_back(network::parse_ipv6(text).value_or(network::Ipv6{}));
    request.routes = nets_of(context);
    request.ipv4_tables = tables_of(context, "ipv4.");
    request.ipv6_tables = tables_of(context, "ipv6.");
    request.ipv4_host = *network::parse_ipv4(first_of(context.key("ipv4.host_address"), kHostIpv4));
    request.ipv6_host = *network::parse_ipv6(first_of(context.key("ipv6.host_address"), kHostIpv6));
    request.ipv4_gateway = context.key("ipv4.gateway") != "none";
    request.ipv6_gateway = context.key("ipv6.gateway") != "none";
}

network::RoutedRequest request_of(const DeviceContext& context) {
    network::RoutedRequest request;
    request.host_name = context.volatile_value("host_name");
    request.parent = parent_of(context);
    request.connected = is_connected(context);
    request.vrf = context.key("vrf");
    read_addresses(context, request);
    return request;
}

Result<> connect_as_configured(const DeviceContext& context) {
    return network::connect_routed(request_of(context), is_connected(context));
}

class Routed final : public DeviceType {
public:
    [[nodiscard]] bool hotplug() const override { return true; }
    // The parent may come later: it is looked for when the instance starts.
    Result<> validate(const DeviceContext& context) const override {
        LX_TRY(mtu_of(context));
        return validate_traffic(context);
    }
    Result<api::ConfigMap> prepare(const DeviceContext& context) const override {
        return nic_identity(context);
    }

    Result<Started> start(const DeviceContext& context) const override {
        Started started;
        LX_TRY_AS(started.volatile_changes, keep_vlan(context));
        started.volatile_changes.merge(nic_identity(context));
        network::RoutedRequest request = request_of(context);
        request.guest_name = nic_value(context, started.volatile_changes, "name");
        request.hwaddr = to_lower(nic_value(context, started.volatile_changes, "hwaddr"));
        LX_TRY_AS(request.mtu, mtu_of(context));
        if (!request.parent.empty()) {
            LX_TRY(network::check_routed_parent(context.key("parent"), !request.ipv4.empty(),
                                                !request.ipv6.empty()));
        }
        LX_TRY_AS(request.host_name, free_host_name(context, request.hwaddr));
        LX_TRY_AS(const auto traffic, traffic_of(context, {request.host_name, request.hwaddr, {}}));
        request.prepare = traffic_setup(traffic);
        request.tx_queue = tx_queue_of(context);
        started.volatile_changes[context.volatile_key("host_name")] = request.host_name;
        started.in_network = [request, nic = nic_on_vlan(context), vlan = vlan_of(context),
                              probed = probed_of(context, request)](int netns_fd) mutable {
            request.netns_fd = netns_fd;
            failpoint("devices.routed_create");
            return with_vlan(nic, vlan, [&]() -> Result<> {
                LX_TRY(network::probe_neighbours(request.parent, probed));
                return network::create_routed(request);
            });
        };
        return started;
    }

    Result<> recover(const DeviceContext& context) const override {
        LX_TRY(require_host_end(context));
        LX_TRY(connect_as_configured(context));
        return recover_traffic(context, {});
    }
    [[nodiscard]] std::span<const std::string_view> live_keys() const override {
        static const auto kKeys = with_traffic_keys({"connected", "user.*"});
        return kKeys;
    }
    Result<> update(const DeviceContext& before, const DeviceContext& after) const override {
        LX_TRY(connect_as_configured(after));
        auto changed = same_traffic(before, after) ? Result<>{} : change_traffic(before, after, {});
        if (!changed) static_cast<void>(connect_as_configured(before).has_value());
        return changed;
    }

    Result<api::ConfigMap> stop(const DeviceContext& context) const override {
        const network::RoutedRequest request = request_of(context);
        if (request.host_name.empty()) return release_vlan(context);
        LX_TRY(network::remove_nic_rules(request.host_name));
        LX_TRY(network::remove_routed(request));
        LX_TRY_AS(api::ConfigMap changes, release_vlan(context));
        changes[context.volatile_key("host_name")] = "";
        return changes;
    }
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> remove(const DeviceContext& context) const override {
        LX_TRY_AS(api::ConfigMap changes, stop(context));
        for (const char* key : {"hwaddr", "name", "host_name"}) changes[context.volatile_key(key)] = "";
        return changes;
    }
};

}  // namespace

const DeviceType& nic_routed() {
    static const Routed type;
    return type;
}

}  // namespace lxmgr::devices
