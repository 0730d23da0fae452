#include "lxd-daemon/instances/nic_conflicts.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/strings.h"
#include "network/ip.h"
#include "network/parent_network.h"

namespace lxmgr::instances {
namespace {

bool is_nic_device(const api::ConfigMap& keys) { return api::value_of(keys, "type") == "nic"; }

/// Empty: none whose leases are the server's. On the others the network around them sees to it, and an
/// interface that is lent has one user at a time.
std::string managed_network_of(const Context& context, const api::ConfigMap& keys) {
    std::string name = api::value_of(keys, "network");
    if (name.empty() && api::value_of(keys, "nictype") == "bridged") name = api::value_of(keys, "parent");
    const auto record = context.deps.database.networks().find(name);
    return record && !network::is_on_parent(record->type) ? name : "";
}

/// Configured, or kept since the NIC was made; empty: not chosen yet.
std::string hwaddr_of_nic(const api::ConfigMap& config, const std::string& device,
                          const api::ConfigMap& keys) {
    const std::string own = api::value_of(keys, "hwaddr");
    return to_lower(own.empty() ? api::value_of(config, fmt::format("volatile.{}.hwaddr", device)) : own);
}

bool any_nic_has(const api::DeviceMap& devices, const std::string& hwaddr) {
    return std::ranges::any_of(devices, [&](const auto& device) {
        return is_nic_device(device.second) && to_lower(api::value_of(device.second, "hwaddr")) == hwaddr;
    });
}

bool keeps_hwaddr(const api::ConfigMap& config, const std::string& hwaddr) {
    for (auto at = config.lower_bound("volatile."); at != config.end() && at->first.starts_with("volatile.");
         ++at) {
        if (at->first.ends_with(".hwaddr") && to_lower(at->second) == hwaddr) return true;
    }
    return false;
}

/// Those that may have the MAC address: what they are made of names it. Expanding all would be slow.
std::vector<database::InstancePtr> suspects(const Context& context, const std::string& hwaddr) {
    std::vector<std::string> profiles;
    for (const auto& profile : context.deps.database.profiles().list()) {
        if (any_nic_has(profile->devices, hwaddr)) profiles.push_back(profile->name);
    }
    std::vector<database::InstancePtr> out;
    for (const auto& instance : context.rows().list()) {
        if (keeps_hwaddr(instance->config, hwaddr) || any_nic_has(instance->devices, hwaddr) ||
            std::ranges::find_first_of(instance->profiles, profiles) != instance->profiles.end())
            out.push_back(instance);
    }
    return out;
}

std::unexpected<Error> hwaddr_taken(const std::string& hwaddr, const std::string& network,
                                    const std::string& asker, const std::string& holder) {
    return fail(Status::conflict,
                fmt::format("MAC address {} is in use on network '{}' already, by {}: choose another hwaddr",
                            hwaddr, network, api::named_to(asker, holder)));
}

/// @param was  the stored record of the same instance; null: it is new
Result<> check_hwaddr(const Context& context, const database::InstanceRecord& record,
                      const database::InstancePtr& was, const std::string& device,
                      const api::ConfigMap& keys) {
    const std::string network = managed_network_of(context, keys);
    const std::string hwaddr = hwaddr_of_nic(record.config, device, keys);
    if (network.empty() || hwaddr.empty()) return {};
    // What is kept was looked at when it came.
    const bool kept =
        was && api::value_of(keys, "hwaddr").empty() && hwaddr_of_nic(was->config, device, {}) == hwaddr;
    if (kept) return {};
    for (const auto& other : suspects(context, hwaddr)) {
        if (other->id == record.id || other->name == record.name) continue;
        for (const auto& [name, theirs] : expand(context, *other).devices) {
            if (!is_nic_device(theirs) || managed_network_of(context, theirs) != network) continue;
            if (hwaddr_of_nic(other->config, name, theirs) == hwaddr)
                return hwaddr_taken(hwaddr, network, record.name, other->name);
        }
    }
    return {};
}

bool overlap(const std::string& one, const std::string& other) {
    const auto v4 = network::parse_ipv4_net(one), other_v4 = network::parse_ipv4_net(other);
    if (v4 && other_v4) return v4->overlaps(*other_v4);
    const auto v6 = network::parse_ipv6_net(one), other_v6 = network::parse_ipv6_net(other);
    return v6 && other_v6 && v6->overlaps(*other_v6);
}

Result<> check_route(const Context& context, const std::string& device, const std::string& key,
                     const std::string& net) {
    for (const auto& record : context.deps.database.networks().list()) {
        for (const char* subnet_key : {"ipv4.address", "ipv6.address"}) {
            const std::string subnet = api::value_of(record->config, subnet_key);
            if (!overlap(net, subnet)) continue;
            return fail(Status::bad_request,
                        fmt::format("Device '{}': {} '{}' overlaps {} of network '{}', whose packets it "
                                    "would draw: name a net that no network has",
                                    device, key, net, subnet, record->name));
        }
    }
    return {};
}

Result<> check_routes(const Context& context, const std::string& device, const api::ConfigMap& keys) {
    for (const char* key : {"ipv4.routes", "ipv4.routes.external", "ipv6.routes", "ipv6.routes.external"}) {
        for (const auto& net : split(api::value_of(keys, key), ','))
            LX_TRY(check_route(context, device, key, std::string(trim(net))));
    }
    return {};
}

}  // namespace

Result<> check_nics(const Context& context, const api::DeviceMap& expanded,
                    const database::InstanceRecord& record) {
    const auto was = context.rows().find(record.name);
    for (const auto& [name, keys] : expanded) {
        if (!is_nic_device(keys)) continue;
        LX_TRY(check_routes(context, name, keys));
        LX_TRY(check_hwaddr(context, record, was, name, keys));
    }
    return {};
}

bool is_free_hwaddr(const Context& context, const std::string& hwaddr) {
    return suspects(context, hwaddr).empty();
}

Result<> check_unheld(const database::AddressRecord& wanted,
                      const std::vector<database::AddressRecord>& held) {
    const std::string hwaddr = to_lower(wanted.hwaddr);
    for (const auto& other : held) {
        if (other.instance == wanted.instance && other.device == wanted.device) continue;
        // NICs of one instance are told apart where its devices are checked.
        if (other.instance != wanted.instance && !hwaddr.empty() && to_lower(other.hwaddr) == hwaddr)
            return hwaddr_taken(hwaddr, wanted.network, wanted.instance, other.instance);
        const bool same_ipv4 = !wanted.ipv4.empty() && other.ipv4 == wanted.ipv4;
        if (!same_ipv4 && (wanted.ipv6.empty() || other.ipv6 != wanted.ipv6)) continue;
        return fail(Status::conflict,
                    fmt::format("Address {} is already held by {}", same_ipv4 ? wanted.ipv4 : wanted.ipv6,
                                api::named_to(wanted.instance, other.instance)));
    }
    return {};
}

}  // namespace lxmgr::instances
