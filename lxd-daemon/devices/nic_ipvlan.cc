#include "lxd-daemon/devices/nic_ipvlan.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/nic_identity.h"
#include "lxd-daemon/devices/nic_vlan.h"
#include "network/digest.h"
#include "network/ipvlan.h"

namespace lxmgr::devices {
namespace {

using network::AnyNet;

constexpr int kIpv4NetOfOne = 24, kIpv6NetOfOne = 64;  ///< where an L2 address says no length, as with LXD

/// What the table of keys has checked is not checked again. Alone: without the net that it is in.
AnyNet address_of(const std::string& text, bool alone) {
    if (!text.contains(':')) {
        auto net = network::parse_ipv4_net(text).value_or(
            network::Ipv4Net{network::parse_ipv4(text).value_or(0), kIpv4NetOfOne});
        return alone ? AnyNet::of(net.address) : AnyNet::of(net);
    }
    auto net = network::parse_ipv6_net(text).value_or(
        network::Ipv6Net{network::parse_ipv6(text).value_or(network::Ipv6{}), kIpv6NetOfOne});
    return alone ? AnyNet::of(net.address) : AnyNet::of(net);
}

/// Of this NIC alone; no small number, as those of other programs' routes are.
std::uint32_t metric_of(const DeviceContext& context) {
    const auto digest = network::digest(fmt::format("{}/{}", context.instance, context.device));
    return 0x40000000U | (static_cast<std::uint32_t>(digest) & 0x3fffffffU);
}

std::string mark_of(const DeviceContext& context) { return "lxmgr " + context.device; }

void add_family(const DeviceContext& context, int family, network::IpvlanRequest& request) {
    const std::string prefix = family == AF_INET ? "ipv4." : "ipv6.";
    const auto addresses = list_of(context, (prefix + "address").c_str());
    for (const auto& text : addresses) request.addresses.push_back(address_of(text, !request.layer2));
    auto& table = family == AF_INET ? request.ipv4_table : request.ipv6_table;
    if (const auto number = parse_uint(context.key(prefix + "host_table")))
        table = static_cast<std::uint32_t>(*number);
    const std::string gateway = context.key(prefix + "gateway");
    if (addresses.empty() || gateway == "none") return;
    if (!request.layer2) {
        request.default_routes.push_back(family);
    } else if (!gateway.empty()) {
        request.gateways.push_back(address_of(gateway, /*alone=*/true));
    }
}

network::IpvlanRequest ipvlan_of(const DeviceContext& context) {
    network::IpvlanRequest request;
    request.parent = parent_of(context);
    request.mark = mark_of(context);
    request.layer2 = context.key("mode") == "l2";
    request.metric = metric_of(context);
    add_family(context, AF_INET, request);
    add_family(context, AF_INET6, request);
    return request;
}

Result<> check_parent(const DeviceContext& context, const network::IpvlanRequest& request) {
    if (request.layer2) return {};
    const bool has_ipv4 = !list_of(context, "ipv4.address").empty();
    const bool has_ipv6 = !list_of(context, "ipv6.address").empty();
    return network::check_routed_parent(context.key("parent"), has_ipv4, has_ipv6);
}

/// It has its parent's MAC address: of what NICs keep for their lives only the name.
api::ConfigMap name_of_nic(const DeviceContext& context) {
    auto kept = nic_identity(context);
    kept.erase(context.volatile_key("hwaddr"));
    return kept;
}

class Ipvlan final : public DeviceType {
public:
    [[nodiscard]] bool hotplug() const override { return true; }
    // The parent may come later: it is looked for when the instance starts.
    Result<> validate(const DeviceContext& context) const override {
        LX_TRY(mtu_of(context));
        return {};
    }
    Result<api::ConfigMap> prepare(const DeviceContext& context) const override {
        return name_of_nic(context);
    }

    Result<Started> start(const DeviceContext& context) const override {
        Started started;
        LX_TRY_AS(started.volatile_changes, keep_vlan(context));
        started.volatile_changes.merge(name_of_nic(context));
        network::IpvlanRequest request = ipvlan_of(context);
        request.guest_name = nic_value(context, started.volatile_changes, "name");
        LX_TRY_AS(request.mtu, mtu_of(context));
        LX_TRY(check_parent(context, request));
        started.in_network = [request, nic = nic_on_vlan(context),
                              vlan = vlan_of(context)](int netns_fd) mutable {
            request.netns_fd = netns_fd;
            return with_vlan(nic, vlan, [&request]() -> Result<> {
                LX_TRY(network::create_ipvlan(request));
                failpoint("devices.ipvlan_made");
                return {};
            });
        };
        return started;
    }

    Result<> recover(const DeviceContext&) const override { return {}; }
    [[nodiscard]] std::span<const std::string_view> live_keys() const override {
        static constexpr std::array<std::string_view, 1> kKeys{"user.*"};
        return kKeys;
    }
    Result<> update(const DeviceContext&, const DeviceContext&) const override { return {}; }
    // The interface is in the instance's network namespace alone, and goes with it.
    Result<api::ConfigMap> stop(const DeviceContext& context) const override {
        LX_TRY(network::forget_ipvlan(ipvlan_of(context)));
        return release_vlan(context);
    }
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext& context) const override {
        Detach detach;
        detach.in_network = [mark = mark_of(context)](int netns_fd) {
            return network::delete_ipvlan(netns_fd, mark);
        };
        std::vector<Detach> out;
        out.push_back(std::move(detach));
        return out;
    }
    Result<api::ConfigMap> remove(const DeviceContext& context) const override {
        LX_TRY_AS(api::ConfigMap changes, stop(context));
        changes[context.volatile_key("name")] = "";
        return changes;
    }
};

}  // namespace

const DeviceType& nic_ipvlan() {
    static const Ipvlan type;
    return type;
}

}  // namespace lxmgr::devices
