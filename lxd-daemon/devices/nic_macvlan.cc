#include "lxd-daemon/devices/nic_macvlan.h"

#include <fmt/format.h>

#include <array>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/nic_identity.h"
#include "lxd-daemon/devices/nic_vlan.h"
#include "network/link_state.h"
#include "network/macvlan.h"

namespace lxmgr::devices {
namespace {

Result<> connect_macvlan(const DeviceContext& context, bool on) {
    LX_TRY_AS(const UniqueFd netns, context.surroundings.open_netns(context.instance));
    return network::set_macvlan_carrier(netns.get(), hwaddr_of(context), on);
}

class Macvlan final : public DeviceType {
public:
    [[nodiscard]] bool hotplug() const override { return true; }
    // The parent may be plugged in later: it is looked for when the instance starts.
    Result<> validate(const DeviceContext& context) const override {
        LX_TRY(mtu_of(context));
        return {};
    }
    Result<api::ConfigMap> prepare(const DeviceContext& context) const override {
        return nic_identity(context);
    }

    Result<Started> start(const DeviceContext& context) const override {
        Started started;
        LX_TRY_AS(started.volatile_changes, keep_vlan(context));
        started.volatile_changes.merge(nic_identity(context));
        network::MacvlanRequest request;
        request.parent = parent_of(context);
        request.mode = context.key("mode");
        request.guest_name = nic_value(context, started.volatile_changes, "name");
        request.hwaddr = to_lower(nic_value(context, started.volatile_changes, "hwaddr"));
        LX_TRY_AS(request.mtu, mtu_of(context));
        request.connected = is_connected(context);
        started.in_network = [request, nic = nic_on_vlan(context),
                              vlan = vlan_of(context)](int netns_fd) mutable {
            request.netns_fd = netns_fd;
            return with_vlan(nic, vlan, [&request] { return network::create_macvlan(request); });
        };
        return started;
    }

    Result<> recover(const DeviceContext& context) const override {
        return connect_macvlan(context, is_connected(context));
    }
    [[nodiscard]] std::span<const std::string_view> live_keys() const override {
        static constexpr std::array<std::string_view, 2> kKeys{"connected", "user.*"};
        return kKeys;
    }
    Result<> update(const DeviceContext& before, const DeviceContext& after) const override {
        if (is_connected(before) == is_connected(after)) return {};
        return connect_macvlan(after, is_connected(after));
    }
    // The interface is in the instance's network namespace alone, and goes with it.
    Result<api::ConfigMap> stop(const DeviceContext& context) const override { return release_vlan(context); }
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext& context) const override {
        Detach detach;
        detach.in_network = [hwaddr = hwaddr_of(context)](int netns_fd) {
            return network::delete_macvlan(netns_fd, hwaddr);
        };
        std::vector<Detach> out;
        out.push_back(std::move(detach));
        return out;
    }
    Result<api::ConfigMap> remove(const DeviceContext& context) const override {
        LX_TRY_AS(api::ConfigMap changes, stop(context));
        for (const char* key : {"hwaddr", "name"}) changes[context.volatile_key(key)] = "";
        return changes;
    }
};

}  // namespace

const DeviceType& nic_macvlan() {
    static const Macvlan type;
    return type;
}

}  // namespace lxmgr::devices
