#include "lxd-daemon/devices/nic.h"

#include <fmt/format.h>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/nic_identity.h"
#include "lxd-daemon/devices/nic_traffic.h"
#include "lxd-daemon/devices/nic_vlan.h"
#include "network/bridge.h"
#include "network/link_state.h"
#include "network/links.h"
#include "network/routed.h"

namespace lxmgr::devices {
namespace {

/// The interface it is plugged into: a managed network's bridge has the network's name.
std::string bridge_of(const DeviceContext& context) {
    return first_of(context.key("network"), context.key("parent"));
}

NicClaim claim_of(const DeviceContext& context, const std::string& hwaddr) {
    return {context.key("network"),
            context.instance,
            context.device,
            hwaddr,
            static_address(context.key("ipv4.address")),
            static_address(context.key("ipv6.address"))};
}

/// A managed network gives the NIC its addresses.
Result<NicAddresses> claim(const DeviceContext& context, const std::string& hwaddr) {
    if (context.key("network").empty()) return NicAddresses{};
    return context.surroundings.claim_address(claim_of(context, hwaddr));
}

/// By which the nets of ipv4.routes and ipv6.routes are reached.
network::BridgedNets routes_of(const DeviceContext& context, const NicAddresses& addresses) {
    network::BridgedNets out{bridge_of(context), nets_of(context), {}, {}};
    out.ipv4 = network::parse_ipv4(first_of(context.key("ipv4.address"), addresses.ipv4));
    out.ipv6 = network::parse_ipv6(first_of(context.key("ipv6.address"), addresses.ipv6));
    return out;
}

Result<> check_static(const DeviceContext& context, const std::string& network,
                      const api::ConfigMap& config) {
    const std::string ipv4 = static_address(context.key("ipv4.address"));
    const std::string ipv6 = static_address(context.key("ipv6.address"));
    auto checked = ipv4.empty() ? Result<>{} : network::check_static_ipv4(network, config, ipv4);
    if (checked && !ipv6.empty()) checked = network::check_static_ipv6(network, config, ipv6);
    if (!checked) return bad_nic(context, checked.error().message);
    return {};
}

Result<> route_new(const network::VethRequest& request, const network::BridgedNets& routes, bool connected) {
    if (!connected) LX_TRY(network::set_link_state(request.host_name, false));
    if (routes.nets.empty()) return {};
    if (!routes.bridge.empty()) return network::route_to_nic(routes);
    return connected ? network::route_through(request.host_name, routes.nets) : Result<>{};
}

Result<> plug_in(network::VethRequest& request, const network::BridgedNets& routes, bool connected) {
    LX_TRY(network::create_veth(request));
    auto routed = route_new(request, routes, connected);
    failpoint("devices.nic_routed");
    if (!routed) static_cast<void>(network::delete_veth(request.host_name).has_value());
    return routed;
}

/// Brings the host's end up or down. Without a bridge its routes go and come with it.
Result<> connect_pair(const DeviceContext& context) {
    const std::string host_name = context.volatile_value("host_name");
    LX_TRY_AS(const bool changed, network::set_link_state(host_name, is_connected(context)));
    if (!changed || !is_connected(context) || !bridge_of(context).empty()) return {};
    return network::route_through(host_name, nets_of(context));
}

/// For VethRequest::prepare.
std::function<Result<>()> setup_of(const DeviceContext& context, const std::string& host_name,
                                   std::function<Result<>()> traffic) {
    const network::PortVlans vlans = port_vlans_of(context);
    const std::string managed = context.key("network");
    const std::string bridge = bridge_of(context);
    if (bridge.empty() || vlans.is_default()) return traffic;
    return [=]() -> Result<> {
        LX_TRY(network::set_port_vlans(host_name, bridge, vlans, !managed.empty()));
        return traffic ? traffic() : Result<>{};
    };
}

/// A bridge that was deleted and made anew has lost its ports and routes.
Result<> plug_again(const DeviceContext& context, const NicAddresses& held) {
    const std::string bridge = bridge_of(context);
    LX_TRY_AS(const bool was_out, network::replug(context.volatile_value("host_name"), bridge));
    if (!was_out) return {};
    LX_TRY(network::unroute_nic(bridge, nets_of(context)));
    return network::route_to_nic(routes_of(context, held));
}

class Nic final : public DeviceType {
public:
    [[nodiscard]] bool hotplug() const override { return true; }

    Result<> validate(const DeviceContext& context) const override {
        LX_TRY(mtu_of(context));
        LX_TRY(validate_traffic(context));
        const std::string managed = context.key("network");
        if (managed.empty()) {
            if (context.key("nictype") == "p2p") return {};
            if (context.key("nictype") != "bridged")
                return bad_nic(context, "nictype must be bridged or p2p when no network is given");
            if (context.key("parent").empty())
                return bad_nic(context, "parent is needed when no network is given");
            return {};
        }
        const auto config = context.surroundings.network_config(managed);
        if (!config) return bad_nic(context, fmt::format("network '{}' does not exist", managed));
        return check_static(context, managed, *config);
    }

    Result<api::ConfigMap> prepare(const DeviceContext& context) const override {
        return nic_identity(context);
    }

    Result<Started> start(const DeviceContext& context) const override {
        Started started;
        LX_TRY_AS(started.volatile_changes, prepare(context));
        network::VethRequest request;
        request.guest_name = nic_value(context, started.volatile_changes, "name");
        request.hwaddr = to_lower(nic_value(context, started.volatile_changes, "hwaddr"));
        request.bridge = bridge_of(context);
        LX_TRY_AS(request.mtu, mtu_of(context));
        LX_TRY_AS(request.host_name, free_host_name(context, request.hwaddr));
        failpoint("devices.nic_named");
        // The address stays the NIC's when the rest fails: it is for life.
        LX_TRY_AS(const NicAddresses addresses, claim(context, request.hwaddr));
        failpoint("devices.nic_claimed");
        LX_TRY_AS(const auto traffic, traffic_of(context, {request.host_name, request.hwaddr, addresses}));
        request.prepare = setup_of(context, request.host_name, traffic_setup(traffic));
        request.tx_queue = tx_queue_of(context);
        started.volatile_changes[context.volatile_key("host_name")] = request.host_name;
        started.in_network = [request, routes = routes_of(context, addresses),
                              connected = is_connected(context)](int netns_fd) mutable {
            request.netns_fd = netns_fd;
            return plug_in(request, routes, connected);
        };
        return started;
    }

    Result<> recover(const DeviceContext& context) const override {
        LX_TRY(require_host_end(context));
        // Its network need not be up: what the NIC has been given is known without it.
        const auto& around = context.surroundings;
        const auto held = around.held_address(context.key("network"), context.instance, context.device);
        auto plugged = bridge_of(context).empty() ? Result<>{} : plug_again(context, held);
        if (plugged && !bridge_of(context).empty() && may_have_vlans(context))
            plugged = apply_port_vlans(context, context.volatile_value("host_name"));
        LX_TRY(connect_pair(context));
        LX_TRY(recover_traffic(context, held));
        return plugged;
    }

    [[nodiscard]] std::span<const std::string_view> live_keys() const override {
        static const auto kKeys = with_traffic_keys(
            {"connected", "ipv4.address", "ipv4.routes", "ipv4.routes.external", "ipv6.address",
             "ipv6.routes", "ipv6.routes.external", "user.*", "vlan", "vlan.tagged"});
        return kKeys;
    }

    Result<> update(const DeviceContext& before, const DeviceContext& after) const override {
        LX_TRY(connect_pair(after));
        const bool other_vlans = !same_port_vlans(before, after);
        auto updated = other_vlans ? apply_port_vlans(after, after.volatile_value("host_name")) : Result<>{};
        if (updated) updated = update_traffic(before, after);
        if (updated) return updated;
        static_cast<void>(connect_pair(before).has_value());
        if (other_vlans)
            static_cast<void>(apply_port_vlans(before, before.volatile_value("host_name")).has_value());
        return updated;
    }

    Result<api::ConfigMap> stop(const DeviceContext& context) const override {
        const std::string host_name = context.volatile_value("host_name");
        if (host_name.empty()) return api::ConfigMap{};
        LX_TRY(network::remove_nic_rules(host_name));
        LX_TRY(network::unroute_nic(bridge_of(context), nets_of(context)));
        if (context.run_over) {
            network::delete_veth_later(host_name);
        } else {
            LX_TRY(network::delete_veth_promptly(host_name));
        }
        return api::ConfigMap{{context.volatile_key("host_name"), ""}};
    }

    [[nodiscard]] std::vector<Detach> attached(const DeviceContext&) const override { return {}; }
    Result<api::ConfigMap> remove(const DeviceContext& context) const override {
        LX_TRY_AS(api::ConfigMap changes, stop(context));
        const std::string managed = context.key("network");
        if (!managed.empty())
            LX_TRY(context.surroundings.release_address(managed, context.instance, context.device));
        for (const char* key : {"hwaddr", "name", "host_name"}) changes[context.volatile_key(key)] = "";
        return changes;
    }

private:
    Result<> update_traffic(const DeviceContext& before, const DeviceContext& after) const {
        if (same_traffic(before, after)) return {};
        LX_TRY(validate(after));
        if (bridge_of(after).empty()) {
            if (is_connected(after))
                LX_TRY(network::route_through(after.volatile_value("host_name"), nets_of(after)));
            return change_traffic(before, after, {});
        }
        LX_TRY_AS(const NicAddresses addresses, claim(after, hwaddr_of(after)));
        LX_TRY(network::unroute_nic(bridge_of(before), nets_of(before)));
        auto routed = network::route_to_nic(routes_of(after, addresses));
        if (routed) routed = change_traffic(before, after, addresses);
        if (routed) return {};
        static_cast<void>(network::unroute_nic(bridge_of(after), nets_of(after)).has_value());
        static_cast<void>(network::route_to_nic(routes_of(before, addresses)).has_value());
        return routed;
    }
};

}  // namespace

const DeviceType& nic() {
    static const Nic type;
    return type;
}

}  // namespace lxmgr::devices
