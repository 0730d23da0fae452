#include "lxd-daemon/instances/networks.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"

namespace lxmgr::instances {
namespace {

/// True when a device map has a NIC on the network, by `network` or by `parent`.
bool uses_network(const api::DeviceMap& devices, const std::string& network) {
    return std::ranges::any_of(devices, [&](const auto& device) {
        const auto& keys = device.second;
        const auto is = [&](const char* key, const std::string& value) {
            const auto found = keys.find(key);
            return found != keys.end() && found->second == value;
        };
        return is("type", "nic") && (is("network", network) || is("parent", network));
    });
}

network::AddressClaim to_claim(const database::AddressRecord& record) {
    return {record.instance, record.device, record.hwaddr, record.ipv4, record.ipv6, record.is_static};
}

}  // namespace

Networks::Networks(database::Database& database, std::string state_dir)
    : database_(database), state_dir_(std::move(state_dir)) {}

Result<network::Bridge*> Networks::bridge(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = bridges_.find(name);
    if (found == bridges_.end() || !found->second) return fail(Status::not_found, "Network not found");
    return found->second.get();
}

std::vector<network::AddressClaim> Networks::claims(const std::string& network) const {
    std::vector<network::AddressClaim> out;
    for (const auto& record : database_.networks().addresses(network)) out.push_back(to_claim(record));
    return out;
}

Result<> Networks::apply(const database::NetworkRecord& record) {
    const std::string dir = fmt::format("{}/networks/{}", state_dir_, record.name);
    network::Bridge* live = nullptr;
    if (auto known = bridge(record.name)) {
        live = *known;
    } else {
        LX_TRY(make_directories(dir, 0711));
        LX_TRY_AS(auto opened, network::Bridge::open(record.name, dir));
        live = opened.get();
        const std::lock_guard lock(mutex_);
        bridges_[record.name] = std::move(opened);
    }
    return live->apply(record.config, claims(record.name));
}

void Networks::apply_all() {
    const std::lock_guard change(change_);
    for (const auto& record : database_.networks().list()) {
        const std::string url = "/1.0/networks/" + record->name;
        auto done = apply(*record);
        if (!done)
            log::error("network cannot be used",
                       {{"network", record->name}, {"error", done.error().message}});
        auto noted = done ? database_.warnings().resolve("Network unavailable", url)
                          : database_.warnings().raise("Network unavailable", 3, url, done.error().message);
        if (!noted) log::error("warning not recorded", {{"error", noted.error().message}});
    }
}

Result<database::NetworkPtr> Networks::create(const database::NetworkRecord& record) {
    const std::lock_guard change(change_);
    if (database_.networks().find(record.name)) {
        return fail(Status::conflict, fmt::format("Network '{}' already exists", record.name));
    }
    if (network::interface_state(record.name)) {
        return fail(Status::bad_request,
                    fmt::format("Network interface '{}' already exists on this host", record.name));
    }
    database::NetworkRecord complete = record;
    LX_TRY_AS(complete.config, network::complete_bridge_config(record.name, record.config));
    // The row first: after a crash the next daemon brings the bridge up, so the network is whole.
    LX_TRY_AS(const auto row, database_.networks().create(complete));
    auto applied = apply(*row);
    if (applied) return row;
    if (auto removed = database_.networks().remove(record.name); !removed) {
        log::error("network row left behind", {{"network", record.name}, {"error", removed.error().message}});
    }
    if (auto live = bridge(record.name)) {
        if (auto removed = (*live)->remove(); !removed) {
            log::warn("bridge left behind", {{"network", record.name}, {"error", removed.error().message}});
        }
    }
    const std::lock_guard lock(mutex_);
    bridges_.erase(record.name);
    return std::unexpected(in(fmt::format("Creating network '{}'", record.name), std::move(applied).error()));
}

Result<database::NetworkPtr> Networks::update(const database::NetworkRecord& record) {
    const std::lock_guard change(change_);
    const auto before = database_.networks().find(record.name);
    if (!before) return fail(Status::not_found, "Network not found");
    database::NetworkRecord complete = record;
    LX_TRY_AS(complete.config, network::complete_bridge_config(record.name, record.config));
    if (auto applied = apply(complete); !applied) {
        if (auto restored = apply(*before); !restored) {
            log::error("network not restored",
                       {{"network", record.name}, {"error", restored.error().message}});
        }
        return std::unexpected(
            in(fmt::format("Updating network '{}'", record.name), std::move(applied).error()));
    }
    return database_.networks().update(complete);
}

Result<> Networks::remove(const std::string& name) {
    const std::lock_guard change(change_);
    if (!database_.networks().find(name)) return fail(Status::not_found, "Network not found");
    if (!used_by(name).empty()) return fail(Status::bad_request, "The network is currently in use");
    // The kernel first: interrupted, the row is still there and the next daemon brings the bridge up again.
    if (auto live = bridge(name)) LX_TRY((*live)->remove());
    LX_TRY(database_.networks().remove(name));
    {
        const std::lock_guard lock(mutex_);
        bridges_.erase(name);
    }
    return remove_tree(fmt::format("{}/networks/{}", state_dir_, name));
}

Result<> Networks::rename(const std::string& name, const std::string& new_name) {
    const std::lock_guard change(change_);
    const auto before = database_.networks().find(name);
    if (!before) return fail(Status::not_found, "Network not found");
    if (!used_by(name).empty()) return fail(Status::bad_request, "The network is currently in use");
    if (database_.networks().find(new_name))
        return fail(Status::conflict, fmt::format("Network '{}' already exists", new_name));
    if (network::interface_state(new_name)) {
        return fail(Status::bad_request,
                    fmt::format("Network interface '{}' already exists on this host", new_name));
    }
    LX_TRY(network::complete_bridge_config(new_name, before->config));  // checks the new name
    if (auto live = bridge(name)) LX_TRY((*live)->remove());
    LX_TRY(database_.networks().rename(name, new_name));
    {
        const std::lock_guard lock(mutex_);
        bridges_.erase(name);
    }
    LX_TRY(remove_tree(fmt::format("{}/networks/{}", state_dir_, name)));
    return apply(*database_.networks().find(new_name));
}

std::vector<std::string> Networks::used_by(const std::string& name) const {
    std::vector<std::string> urls;
    for (const auto& instance : database_.instances().list()) {
        bool uses = uses_network(instance->devices, name);
        for (const auto& profile_name : instance->profiles) {
            const auto profile = database_.profiles().find(profile_name);
            uses = uses || (profile && uses_network(profile->devices, name));
        }
        if (uses) urls.push_back("/1.0/instances/" + instance->name);
    }
    for (const auto& profile : database_.profiles().list()) {
        if (uses_network(profile->devices, name)) urls.push_back("/1.0/profiles/" + profile->name);
    }
    return urls;
}

Result<std::vector<network::Lease>> Networks::leases(const std::string& name) const {
    LX_TRY_AS(network::Bridge * live, bridge(name));
    return live->leases(claims(name));
}

Result<database::AddressRecord> Networks::claim(const std::string& network, const std::string& instance,
                                                const std::string& device, const std::string& hwaddr,
                                                const std::string& requested_ipv4) {
    const std::lock_guard change(change_);
    LX_TRY_AS(network::Bridge * live, bridge(network));
    database::AddressRecord wanted{
        network, instance, device, hwaddr, requested_ipv4, "", !requested_ipv4.empty()};
    std::vector<network::AddressClaim> others;
    for (const auto& record : database_.networks().addresses(network)) {
        const bool ours = record.instance == instance && record.device == device;
        if (!ours) others.push_back(to_claim(record));
        if (ours && requested_ipv4.empty() && !record.is_static) wanted.ipv4 = record.ipv4;
    }
    if (wanted.ipv4.empty()) {
        LX_TRY_AS(wanted.ipv4, live->choose_ipv4(to_claim(wanted), others));
    }
    const auto taken = std::ranges::find_if(
        others, [&](const auto& other) { return !wanted.ipv4.empty() && other.ipv4 == wanted.ipv4; });
    if (taken != others.end()) {
        return fail(Status::conflict,
                    fmt::format("Address {} is already held by instance '{}'", wanted.ipv4, taken->instance));
    }
    LX_TRY(database_.networks().claim(wanted));
    LX_TRY(live->set_claim(to_claim(wanted)));
    return wanted;
}

Result<> Networks::release(const std::string& network, const std::string& instance,
                           const std::string& device) {
    const std::lock_guard change(change_);
    for (const auto& record : database_.networks().addresses(network)) {
        if (record.instance != instance || record.device != device) continue;
        LX_TRY(database_.networks().release(network, instance, device));
        if (auto live = bridge(network)) LX_TRY((*live)->drop_claim(to_claim(record)));
    }
    return {};
}

Result<> Networks::release_all(const std::string& instance) {
    for (const auto& record : database_.networks().addresses_of(instance)) {
        LX_TRY(release(record.network, instance, record.device));
    }
    return {};
}

Result<> Networks::announce_rename(const std::string& instance, const std::string& new_name) {
    const std::lock_guard change(change_);
    for (const auto& record : database_.networks().addresses_of(new_name)) {
        const auto live = bridge(record.network);
        if (!live) continue;
        network::AddressClaim claim = to_claim(record);
        claim.instance = instance;
        LX_TRY((*live)->drop_claim(claim));
        claim.instance = new_name;
        LX_TRY((*live)->set_claim(claim));
    }
    return {};
}

}  // namespace lxmgr::instances
