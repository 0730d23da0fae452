#include "lxd-daemon/devices/nic.h"

#include <fmt/format.h>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/nic_identity.h"
#include "lxd-daemon/devices/nic_traffic.h"
#include "network/bridge.h"
#include "network/routed.h"

namespace lxmgr::devices {
namespace {

/// The interface it is plugged into: a managed network's bridge has the network's name.
std::string bridge_of(const DeviceContext& context) {
    return first_of(context.key("network"), context.key("parent"));
}

NicClaim claim_of(const DeviceContext& context, const std::string& hwaddr) {
    return {context.key("network"), context.instance, context.device, hwaddr, context.key("ipv4.address")};
}

/// A managed network gives the NIC its address.
Result<std::string> claim(const DeviceContext& context, const std::string& hwaddr) {
    if (context.key("network").empty()) return std::string();
    return context.surroundings.claim_address(claim_of(context, hwaddr));
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
        const std::string address = context.key("ipv4.address");
        if (address.empty()) return {};
        auto checked = network::check_static_ipv4(managed, *config, address);
        if (!checked) return bad_nic(context, checked.error().message);
        return {};
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
        LX_TRY_AS(request.host_name, free_host_name(context));
        failpoint("devices.nic_named");
        // The address stays the NIC's when the rest fails: it is for life.
        LX_TRY_AS(const std::string address, claim(context, request.hwaddr));
        failpoint("devices.nic_claimed");
        LX_TRY_AS(const auto traffic, traffic_of(context, {request.host_name, request.hwaddr, address}));
        request.prepare = traffic_setup(traffic);
        request.tx_queue = tx_queue_of(context);
        started.volatile_changes[context.volatile_key("host_name")] = request.host_name;
        started.in_network = [request, nets = nets_of(context)](int netns_fd) mutable -> Result<> {
            request.netns_fd = netns_fd;
            LX_TRY(network::create_veth(request));
            if (nets.empty()) return {};
            auto routed = network::route_through(request.host_name, nets);
            if (!routed) static_cast<void>(network::delete_veth(request.host_name).has_value());
            return routed;
        };
        return started;
    }

    Result<> recover(const DeviceContext& context) const override {
        LX_TRY(require_host_end(context));
        // Networks are not up yet: what the NIC has been given is known without them.
        const auto& around = context.surroundings;
        return recover_traffic(context,
                               around.held_address(context.key("network"), context.instance, context.device));
    }

    [[nodiscard]] std::span<const std::string_view> live_keys() const override {
        static const auto kKeys = with_traffic_keys({"ipv4.address", "user.*"});
        return kKeys;
    }

    Result<> update(const DeviceContext& before, const DeviceContext& after) const override {
        if (same_traffic(before, after)) return {};
        LX_TRY(validate(after));
        LX_TRY_AS(const std::string address, claim(after, hwaddr_of(after)));
        return change_traffic(before, after, address);
    }

    Result<api::ConfigMap> stop(const DeviceContext& context) const override {
        const std::string host_name = context.volatile_value("host_name");
        if (host_name.empty()) return api::ConfigMap{};
        LX_TRY(network::remove_nic_rules(host_name));
        if (context.run_over) {
            network::delete_veth_later(host_name);
        } else {
            LX_TRY(network::delete_veth(host_name));
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
};

}  // namespace

const DeviceType& nic() {
    static const Nic type;
    return type;
}

}  // namespace lxmgr::devices
