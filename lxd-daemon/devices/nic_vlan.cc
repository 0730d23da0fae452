#include "lxd-daemon/devices/nic_vlan.h"

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
std::mutex& vlans_mutex() {
    static std::mutex mutex;
    return mutex;
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

Result<> with_vlan(const network::VlanLink& vlan, const std::function<Result<>()>& work) {
    if (vlan.id == 0) return work();
    const std::lock_guard lock(vlans_mutex());
    LX_TRY(network::create_vlan(vlan));
    failpoint("devices.vlan_created");
    return work();
}

Result<api::ConfigMap> release_vlan(const DeviceContext& context) {
    const std::string created = context.volatile_value(kCreated);
    if (created.empty()) return api::ConfigMap{};
    const auto vlan = vlan_of(context);
    const std::lock_guard lock(vlans_mutex());
    // One of the same name may be the administrator's: made after a boot of the host took ours away.
    const auto foreign = network::is_foreign_vlan(vlan);
    const bool ours = created == "true" && vlan.id != 0 && foreign && !*foreign;
    if (ours && !context.surroundings.others_use_vlan(context.instance, context.device, vlan.name()))
        LX_TRY(network::delete_link(vlan.name()));
    return api::ConfigMap{{context.volatile_key(kCreated), ""}};
}

}  // namespace lxmgr::devices
