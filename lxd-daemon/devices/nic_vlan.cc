#include "lxd-daemon/devices/nic_vlan.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/nic_identity.h"
#include "network/bridge.h"
#include "profiles/config_keys.h"
#include "profiles/vlan.h"

namespace lxmgr::devices {
namespace {

constexpr const char* kCreated = "last_state.created";

/// Of the making and the taking away of VLANs' interfaces.
struct Vlans {
    struct Place {
        std::string interface;
        bool left = false;
    };
    std::mutex mutex;
    /// Where NICs came and went since this daemon started. Records of instances say it later: several NICs of
    /// one instance, and instances that stop at once, leave before any of it is stored.
    std::map<NicOnVlan, Place> places;
};

Vlans& vlans() {
    static Vlans all;
    return all;
}

/// Whether any NIC is on the interface. Who has left it is forgotten when its record says so, too.
bool is_in_use(const DeviceContext& context, const std::string& interface) {
    const auto noted = context.surroundings.nics_on_vlan(interface);
    auto& places = vlans().places;
    std::erase_if(places, [&](const auto& one) {
        const bool is_stored = std::ranges::find(noted, one.first) == noted.end();
        return one.second.left && one.second.interface == interface && is_stored;
    });
    const bool is_known = std::ranges::any_of(
        places, [&](const auto& one) { return !one.second.left && one.second.interface == interface; });
    return is_known ||
           std::ranges::any_of(noted, [&](const NicOnVlan& nic) { return !places.contains(nic); });
}

}  // namespace

network::PortVlans port_vlans_of(const DeviceContext& context) {
    network::PortVlans out;
    const std::string untagged = context.key("vlan");
    out.no_untagged = untagged == "none";
    if (const auto id = parse_uint(untagged)) out.untagged = static_cast<std::uint16_t>(*id);
    const std::string tagged = context.key("vlan.tagged");
    if (tagged.empty()) return out;
    if (const auto ranges = profiles::parse_vlans(tagged)) {
        for (const auto& range : *ranges) out.tagged.emplace_back(range.first, range.last);
    }
    return out;
}

bool same_port_vlans(const DeviceContext& a, const DeviceContext& b) {
    return a.key("vlan") == b.key("vlan") && a.key("vlan.tagged") == b.key("vlan.tagged");
}

bool may_have_vlans(const DeviceContext& context) {
    return !context.key("network").empty() || !port_vlans_of(context).is_default();
}

Result<> apply_port_vlans(const DeviceContext& context, const std::string& host_name) {
    const std::string managed = context.key("network");
    return network::set_port_vlans(host_name, first_of(managed, context.key("parent")),
                                   port_vlans_of(context), !managed.empty());
}

network::VlanLink vlan_of(const DeviceContext& context) {
    network::VlanLink out{context.key("parent"), 0, profiles::parse_bool(context.key("gvrp"))};
    if (const auto id = parse_uint(context.key("vlan"))) out.id = static_cast<std::uint16_t>(*id);
    return out;
}

std::string parent_of(const DeviceContext& context) {
    const auto vlan = vlan_of(context);
    return vlan.id == 0 ? vlan.parent : vlan.name();
}

Result<api::ConfigMap> keep_vlan(const DeviceContext& context) {
    const auto vlan = vlan_of(context);
    if (vlan.id == 0) return api::ConfigMap{};
    LX_TRY_AS(const bool foreign, network::is_foreign_vlan(vlan));
    return api::ConfigMap{{context.volatile_key(kCreated), foreign ? "false" : "true"}};
}

NicOnVlan nic_on_vlan(const DeviceContext& context) { return {context.instance, context.device}; }

Result<> with_vlan(const NicOnVlan& nic, const network::VlanLink& vlan,
                   const std::function<Result<>()>& work) {
    if (vlan.id == 0) return work();
    const std::lock_guard lock(vlans().mutex);
    LX_TRY(network::create_vlan(vlan));
    vlans().places[nic] = {vlan.name(), false};
    failpoint("devices.vlan_created");
    return work();
}

Result<api::ConfigMap> release_vlan(const DeviceContext& context) {
    const std::string created = context.volatile_value(kCreated);
    if (created.empty()) return api::ConfigMap{};
    const auto vlan = vlan_of(context);
    const std::lock_guard lock(vlans().mutex);
    LX_TRY(network::delete_unfinished_vlan());
    vlans().places[nic_on_vlan(context)] = {vlan.name(), true};
    // One of the same name may be the administrator's: made after a boot of the host took ours away.
    const auto foreign = network::is_foreign_vlan(vlan);
    const bool ours = created == "true" && vlan.id != 0 && foreign && !*foreign;
    if (ours && !is_in_use(context, vlan.name())) LX_TRY(network::delete_link(vlan.name()));
    return api::ConfigMap{{context.volatile_key(kCreated), ""}};
}

}  // namespace lxmgr::devices
