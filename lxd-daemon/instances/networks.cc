#include "lxd-daemon/instances/networks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/network_rules.h"
#include "lxd-daemon/instances/nic_conflicts.h"
#include "network/parent_network.h"

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

constexpr std::array kSubnetKeys{"ipv4.address", "ipv6.address"};
constexpr std::array kAddressKeys{"ipv4.address", "ipv4.dhcp", "ipv6.address", "ipv6.dhcp",
                                  "ipv6.dhcp.stateful"};

bool same_values(const api::ConfigMap& a, const api::ConfigMap& b, std::span<const char* const> keys) {
    const auto value = [](const api::ConfigMap& config, const char* key) {
        const auto found = config.find(key);
        return found == config.end() ? std::string() : found->second;
    };
    return std::ranges::all_of(keys, [&](const char* key) { return value(a, key) == value(b, key); });
}

network::AddressClaim to_claim(const database::AddressRecord& record) {
    return {network_name_of(record.instance),
            record.device,
            record.hwaddr,
            record.ipv4,
            record.ipv6,
            record.is_static};
}

}  // namespace

std::string network_name_of(const std::string& instance_key) {
    constexpr std::size_t kLongestLabel = 63;  // RFC 1035
    const auto [project, name] = api::split_instance_key(instance_key);
    if (project == api::kDefaultProject) return name;
    const std::string label = name + "_" + project;
    if (label.size() <= kLongestLabel) return label;
    std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a: the same in every build
    for (const char c : label) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return fmt::format("instance_{:016x}", hash);
}

std::optional<api::ConfigMap> nic_on_parent(database::Database& database, const api::ConfigMap& keys) {
    const std::string name = api::value_of(keys, "network");
    if (name.empty() || api::value_of(keys, "type") != "nic") return std::nullopt;
    const auto record = database.networks().find(name);
    if (!record || !network::is_on_parent(record->type)) return std::nullopt;
    auto out = network::nic_keys_of(record->type, record->config);
    out.insert(keys.begin(), keys.end());
    out.erase("network");
    return out;
}

Networks::Networks(database::Database& database, std::string state_dir)
    : database_(database),
      rules_(std::make_unique<NetworkRules>(database, *this)),
      state_dir_(std::move(state_dir)) {}
Networks::~Networks() = default;

Result<std::shared_ptr<network::Bridge>> Networks::bridge(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = bridges_.find(name);
    if (found == bridges_.end() || !found->second) return fail(Status::not_found, "Network not found");
    return found->second;
}

std::vector<network::AddressClaim> Networks::claims(const std::string& network) const {
    std::vector<network::AddressClaim> out;
    for (const auto& record : database_.networks().addresses(network)) out.push_back(to_claim(record));
    return out;
}

Result<> Networks::apply(const database::NetworkRecord& record) {
    if (network::is_on_parent(record.type)) return {};
    if (is_down_)
        return fail(Status::unavailable,
                    fmt::format("Network '{}' stays down until the daemon's next start: all instances were "
                                "stopped, as for the host's shutdown",
                                record.name));
    const std::string dir = fmt::format("{}/networks/{}", state_dir_, record.name);
    std::shared_ptr<network::Bridge> live;
    if (auto known = bridge(record.name)) {
        live = *known;
    } else {
        LX_TRY(make_directories(dir, 0711));
        auto opened = network::Bridge::open(record.name, dir);
        if (!opened) return std::unexpected(std::move(opened).error());
        live = *std::move(opened);
        const std::lock_guard lock(mutex_);
        bridges_[record.name] = live;
    }
    LX_TRY_AS(const auto policy, rules_->policy_of(record));
    LX_TRY(live->set_policy(policy, true));
    LX_TRY(live->apply(record.config, claims(record.name)));
    follow_server(record.name, *live);
    return {};
}

bool Networks::apply_noted(const database::NetworkRecord& record) {
    const std::string url = "/1.0/networks/" + record.name;
    auto done = apply(record);
    if (!done)
        log::error("network cannot be used", {{"network", record.name}, {"error", done.error().message}});
    auto noted = done ? database_.warnings().resolve("Network unavailable", url)
                      : database_.warnings().raise("Network unavailable", 3, url, done.error().message);
    if (!noted) log::error("warning not recorded", {{"error", noted.error().message}});
    return done.has_value();
}

void Networks::apply_all() {
    const std::lock_guard change(change_);
    remove_strays();
    for (const auto& record : database_.networks().list()) apply_noted(*record);
}

/// An instance may be given the interface of a physical network: not one that others are plugged into.
Result<> Networks::check_parent_is_free(const database::NetworkRecord& record) const {
    const std::string parent = api::value_of(record.config, "parent");
    const auto other = database_.networks().find(parent);
    if (record.type != "physical" || !other || network::is_on_parent(other->type)) return {};
    return fail(Status::bad_request, fmt::format("Network '{}': its parent '{}' is a network of this server",
                                                 record.name, parent));
}

Result<database::NetworkPtr> Networks::create_on_parent(const database::NetworkRecord& record) {
    LX_TRY(network::check_parent_network(record.name, record.config));
    LX_TRY(check_parent_is_free(record));
    return database_.networks().create(record);
}

Result<database::NetworkPtr> Networks::update_on_parent(const database::NetworkRecord& before,
                                                        const database::NetworkRecord& record) {
    const auto old_keys = network::nic_keys_of(before.type, before.config);
    // What a NIC made with the old keys could not be taken away with the new ones.
    if (network::nic_keys_of(record.type, record.config) != old_keys && !used_by(record.name).empty()) {
        return fail(
            Status::bad_request,
            fmt::format(
                "Network '{}' is in use: take its NICs away before you change its parent, mtu, vlan or gvrp",
                record.name));
    }
    LX_TRY(network::check_parent_network(record.name, record.config));
    LX_TRY(check_parent_is_free(record));
    return database_.networks().update(record);
}

Result<database::NetworkPtr> Networks::create(const database::NetworkRecord& record) {
    const std::lock_guard change(change_);
    if (database_.networks().find(record.name)) {
        return fail(Status::bad_request, fmt::format("Network '{}' already exists", record.name));
    }
    if (network::interface_state(record.name)) {
        return fail(Status::bad_request,
                    fmt::format("Network interface '{}' already exists on this host", record.name));
    }
    if (network::is_on_parent(record.type)) return create_on_parent(record);
    database::NetworkRecord complete = record;
    LX_TRY_AS(complete.config, network::complete_bridge_config(record.name, record.config));
    LX_TRY(network::check_subnets_free(record.name, complete.config));
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
    {
        const std::lock_guard lock(mutex_);
        bridges_.erase(record.name);
    }
    if (auto removed = remove_tree(fmt::format("{}/networks/{}", state_dir_, record.name)); !removed) {
        log::warn("directory left behind", {{"network", record.name}, {"error", removed.error().message}});
    }
    return std::unexpected(in(fmt::format("Creating network '{}'", record.name), std::move(applied).error()));
}

Result<database::NetworkPtr> Networks::update(const database::NetworkRecord& record) {
    const std::lock_guard change(change_);
    const auto before = database_.networks().find(record.name);
    if (!before) return fail(Status::not_found, "Network not found");
    if (network::is_on_parent(record.type)) return update_on_parent(*before, record);
    database::NetworkRecord complete = record;
    LX_TRY_AS(complete.config, network::complete_bridge_config(record.name, record.config, false));
    if (!same_values(before->config, complete.config, kSubnetKeys))
        LX_TRY(network::check_subnets_free(record.name, complete.config));
    if (auto applied = apply(complete); !applied) {
        if (auto restored = apply(*before); !restored) {
            log::error("network not restored",
                       {{"network", record.name}, {"error", restored.error().message}});
        }
        return std::unexpected(
            in(fmt::format("Updating network '{}'", record.name), std::move(applied).error()));
    }
    LX_TRY_AS(const auto row, database_.networks().update(complete));
    if (same_values(before->config, row->config, kAddressKeys)) return row;
    // Of another subnet now, or for the first time: NICs that run get them with their next lease.
    for (auto held : database_.networks().addresses(record.name)) {
        if (!held.is_static) held.ipv4.clear();
        held.ipv6.clear();
        const std::string instance = held.instance;
        if (auto claimed = claim_locked(std::move(held)); !claimed)
            log::warn("address not chosen anew",
                      {{"instance", instance}, {"error", claimed.error().message}});
    }
    return row;
}

Result<> Networks::change_rules(const std::vector<std::string>& networks,
                                const std::function<Result<>()>& write,
                                const std::function<Result<>()>& undo) {
    const std::lock_guard change(change_);
    LX_TRY(write());
    failpoint("instances.rules_written");
    const auto apply_each = [&]() -> Result<> {
        for (const auto& name : networks) {
            const auto record = database_.networks().find(name);
            const auto live = bridge(name);
            if (!record || !live) continue;
            LX_TRY_AS(const auto policy, rules_->policy_of(*record));
            LX_TRY((*live)->set_policy(policy));
        }
        return {};
    };
    auto applied = apply_each();
    if (applied) return {};
    auto undone = undo();
    if (undone) undone = apply_each();
    if (!undone) log::error("rules of networks not restored", {{"error", undone.error().message}});
    return applied;
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
    LX_TRY(network::is_on_parent(before->type) ? network::check_network_name(new_name)
                                               : network::check_bridge_config(new_name, before->config));
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
        if (uses) urls.push_back(api::instance_url(instance->name));
    }
    for (const auto& profile : database_.profiles().list()) {
        if (uses_network(profile->devices, name)) urls.push_back(api::profile_url(profile->name));
    }
    return urls;
}

Result<std::vector<network::Lease>> Networks::leases(const std::string& name) const {
    const auto record = database_.networks().find(name);
    if (record && network::is_on_parent(record->type)) {
        return fail(
            Status::bad_request,
            fmt::format(
                "Network '{}' has no leases: addresses of a network of type {} are given by the network "
                "that its parent is on",
                name, record->type));
    }
    LX_TRY_AS(const auto live, bridge(name));
    return live->leases(claims(name));
}

Result<database::AddressRecord> Networks::claim(database::AddressRecord wanted) {
    const std::lock_guard change(change_);
    return claim_locked(std::move(wanted));
}

Result<database::AddressRecord> Networks::claim_locked(database::AddressRecord wanted) {
    LX_TRY_AS(const auto live, bridge(wanted.network));
    const bool any_ipv4 = wanted.ipv4.empty();
    const bool any_ipv6 = wanted.ipv6.empty();
    wanted.is_static = !any_ipv4;
    std::vector<network::AddressClaim> others;
    const auto held = database_.networks().addresses(wanted.network);
    for (const auto& record : held) {
        const bool ours = record.instance == wanted.instance && record.device == wanted.device;
        if (!ours) others.push_back(to_claim(record));
        if (ours && any_ipv4 && !record.is_static) wanted.ipv4 = record.ipv4;
        if (ours && any_ipv6) wanted.ipv6 = record.ipv6;
    }
    const auto listened = rules_->listen_addresses(database_.networks().find(wanted.network)->id);
    for (const auto& address : listened) others.push_back({.ipv4 = address, .ipv6 = address});
    if (any_ipv4) {
        LX_TRY_AS(wanted.ipv4, live->choose_ipv4(to_claim(wanted), others));
    }
    if (any_ipv6) {
        LX_TRY_AS(wanted.ipv6, live->choose_ipv6(to_claim(wanted), others));
    }
    LX_TRY(check_unheld(wanted, held));
    for (const auto& address : {wanted.ipv4, wanted.ipv6}) {
        if (std::ranges::find(listened, address) == listened.end()) continue;
        return fail(Status::conflict,
                    fmt::format("Address {} is a forward's on network '{}': choose another one", address,
                                wanted.network));
    }
    LX_TRY(database_.networks().claim(wanted));
    LX_TRY(live->set_claim(to_claim(wanted)));
    follow_server(wanted.network, *live);
    check_server(wanted.network);
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
        claim.instance = network_name_of(instance);
        LX_TRY((*live)->drop_claim(claim));
        claim.instance = network_name_of(new_name);
        LX_TRY((*live)->set_claim(claim));
    }
    return {};
}

}  // namespace lxmgr::instances
