#include "lxd-daemon/devices/nic_managed.h"

#include <fmt/format.h>

#include "lxd-daemon/devices/nic.h"
#include "lxd-daemon/devices/nic_identity.h"
#include "lxd-daemon/devices/nic_macvlan.h"
#include "lxd-daemon/devices/nic_physical.h"
#include "profiles/config_keys.h"

namespace lxmgr::devices {
namespace {

/// The NIC that it comes to.
struct Resolved {
    const DeviceType& type;
    DeviceContext context;
};

Resolved resolve(const DeviceContext& context) {
    const auto keys = context.surroundings.nic_on_parent(context.config);
    if (!keys) return {nic(), context};
    Resolved out{api::value_of(*keys, "nictype") == "macvlan" ? nic_macvlan() : nic_physical(), context};
    out.context.config = *keys;
    return out;
}

class Managed final : public DeviceType {
public:
    [[nodiscard]] bool hotplug() const override { return true; }
    /// Of keys, the table knows those on bridges: others take fewer, and leave some to the network.
    Result<> validate(const DeviceContext& context) const override {
        const auto resolved = resolve(context);
        if (&resolved.type == &nic()) return resolved.type.validate(resolved.context);
        for (const char* key : {"gvrp", "mtu", "parent", "vlan"}) {
            if (!context.config.contains(key)) continue;
            return bad_nic(context,
                           fmt::format("\"{}\" is the network's: set it there, for all of its NICs", key));
        }
        LX_TRY(profiles::validate_devices({{context.device, resolved.context.config}}, false));
        return resolved.type.validate(resolved.context);
    }
    Result<api::ConfigMap> prepare(const DeviceContext& context) const override {
        const auto resolved = resolve(context);
        return resolved.type.prepare(resolved.context);
    }
    Result<Started> start(const DeviceContext& context) const override {
        const auto resolved = resolve(context);
        return resolved.type.start(resolved.context);
    }
    Result<> recover(const DeviceContext& context) const override {
        const auto resolved = resolve(context);
        return resolved.type.recover(resolved.context);
    }
    // Of them, other types have only those that they can change too.
    [[nodiscard]] std::span<const std::string_view> live_keys() const override { return nic().live_keys(); }
    Result<> update(const DeviceContext& before, const DeviceContext& after) const override {
        const auto old = resolve(before), now = resolve(after);
        return now.type.update(old.context, now.context);
    }
    Result<api::ConfigMap> stop(const DeviceContext& context) const override {
        const auto resolved = resolve(context);
        return resolved.type.stop(resolved.context);
    }
    [[nodiscard]] std::vector<Detach> attached(const DeviceContext& context) const override {
        const auto resolved = resolve(context);
        return resolved.type.attached(resolved.context);
    }
    Result<api::ConfigMap> remove(const DeviceContext& context) const override {
        const auto resolved = resolve(context);
        return resolved.type.remove(resolved.context);
    }
};

}  // namespace

const DeviceType& nic_managed() {
    static const Managed type;
    return type;
}

}  // namespace lxmgr::devices
