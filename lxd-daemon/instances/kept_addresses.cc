#include "lxd-daemon/instances/kept_addresses.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/nic_identity.h"

namespace lxmgr::instances {
namespace {

bool is_kept_nic(const api::DeviceMap& devices, const std::string& name) {
    const auto found = devices.find(name);
    return found != devices.end() && api::value_of(found->second, "type") == "nic";
}

/// What the NIC is to hold now; nullopt: nothing on that network.
std::optional<database::AddressRecord> claim_now(const database::AddressRecord& held,
                                                 const api::ConfigMap& config,
                                                 const api::DeviceMap& devices) {
    if (!is_kept_nic(devices, held.device)) return std::nullopt;
    const auto& keys = devices.at(held.device);
    if (api::value_of(keys, "network") != held.network) return std::nullopt;
    const std::string kept = api::value_of(config, fmt::format("volatile.{}.hwaddr", held.device));
    return database::AddressRecord{held.network,
                                   held.instance,
                                   held.device,
                                   to_lower(api::value_of(keys, "hwaddr", kept)),
                                   devices::static_address(api::value_of(keys, "ipv4.address")),
                                   devices::static_address(api::value_of(keys, "ipv6.address"))};
}

bool holds_as(const database::AddressRecord& held, const database::AddressRecord& wanted) {
    const bool same_ipv4 = wanted.ipv4.empty() ? !held.is_static : held.ipv4 == wanted.ipv4;
    return held.hwaddr == wanted.hwaddr && same_ipv4 && (wanted.ipv6.empty() || held.ipv6 == wanted.ipv6);
}

/// For NICs that hold nothing on their networks yet.
void claim_for_new(Context& context, const database::InstanceRecord& record, const api::DeviceMap& devices) {
    auto& database = context.deps.database;
    const auto all = database.networks().addresses_of(record.name);
    for (const auto& [device, keys] : devices) {
        const std::string network = api::value_of(keys, "network");
        if (!is_kept_nic(devices, device) || network.empty() || nic_on_parent(database, keys)) continue;
        const bool held = std::ranges::any_of(
            all, [&](const auto& one) { return one.network == network && one.device == device; });
        const auto wanted = claim_now({network, record.name, device, "", "", ""}, record.config, devices);
        if (held || !wanted || wanted->hwaddr.empty()) continue;
        if (auto claimed = context.deps.networks.claim(*wanted); !claimed)
            log::info("address not given yet",
                      {{"instance", record.name}, {"device", device}, {"error", claimed.error().message}});
    }
}

}  // namespace

void forget_gone_nics(const api::DeviceMap& before, const api::DeviceMap& after, api::ConfigMap& config) {
    for (const auto& [name, keys] : before) {
        if (!is_kept_nic(before, name) || is_kept_nic(after, name)) continue;
        for (const char* key : {"hwaddr", "name", "host_name"})
            config.erase(fmt::format("volatile.{}.{}", name, key));
    }
}

void settle_addresses(Context& context, const std::string& instance) {
    const auto record = context.rows().find(instance);
    const auto all = context.deps.database.networks().addresses_of(instance);
    if (!record) return;
    const auto devices = expand(context, *record).devices;
    for (const auto& held : all) {
        const auto wanted = claim_now(held, record->config, devices);
        if (wanted && holds_as(held, *wanted)) continue;
        // Another's address is refused when the NIC comes up; its old one is free all the same.
        if (wanted && context.deps.networks.claim(*wanted)) continue;
        auto released = context.deps.networks.release(held.network, instance, held.device);
        if (!released)
            log::warn("address not released",
                      {{"instance", instance}, {"device", held.device}, {"error", released.error().message}});
    }
    claim_for_new(context, *record, devices);
}

}  // namespace lxmgr::instances
