#include "lxd-daemon/instances/device_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/devices/nic_identity.h"
#include "lxd-daemon/devices/proxy.h"
#include "lxd-daemon/instances/apparmor.h"
#include "lxd-daemon/instances/network_rules.h"
#include "lxd-daemon/instances/nic_conflicts.h"
#include "lxd-daemon/instances/nics_on_vlan.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/project_restrictions.h"
#include "lxd-daemon/instances/volumes/steps.h"
#include "lxd-daemon/sys/pidfd.h"
#include "network/ip.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

/// The managed networks and pools as devices see them.
class LiveSurroundings final : public devices::Surroundings {
public:
    LiveSurroundings(Context& context, std::shared_ptr<const api::DeviceMap> coming)
        : context_(context), coming_(std::move(coming)) {}
    std::optional<api::ConfigMap> network_config(const std::string& network) override {
        const auto record = context_.deps.database.networks().find(network);
        return record ? std::optional(record->config) : std::nullopt;
    }
    std::optional<api::ConfigMap> nic_on_parent(const api::ConfigMap& keys) override {
        return instances::nic_on_parent(context_.deps.database, keys);
    }
    Result<devices::NicAddresses> claim_address(const devices::NicClaim& claim) override {
        LX_TRY_AS(const auto held, context_.deps.networks.claim({claim.network, claim.instance, claim.device,
                                                                 claim.hwaddr, claim.ipv4, claim.ipv6}));
        return devices::NicAddresses{held.ipv4, held.ipv6};
    }
    [[nodiscard]] devices::NicAddresses held_address(const std::string& network, const std::string& instance,
                                                     const std::string& device) const override {
        if (network.empty()) return {};
        for (const auto& record : context_.deps.database.networks().addresses(network)) {
            if (record.instance == instance && record.device == device) return {record.ipv4, record.ipv6};
        }
        return {};
    }
    Result<> release_address(const std::string& network, const std::string& instance,
                             const std::string& device) override {
        return context_.deps.networks.release(network, instance, device);
    }
    bool is_free_hwaddr(const std::string& hwaddr) override {
        return instances::is_free_hwaddr(context_, hwaddr);
    }
    bool names_after_mac() override {
        const auto config = context_.deps.database.server_config().all();
        return api::value_of(config, "instances.nic.host_name") == "mac";
    }
    std::vector<devices::NicOnVlan> nics_on_vlan(const std::string& interface) override {
        return instances::nics_on_vlan(context_, interface);
    }
    std::string run_dir(const std::string& instance) override { return context_.run_dir(instance); }
    bool pool_exists(const std::string& pool) override {
        return context_.deps.database.pools().find(pool) != nullptr;
    }
    Result<> check_volume(const devices::VolumeUse& use) override {
        if (const auto row = find_used_volume(context_, use)) return check_attachable(context_, *row);
        return fail(Status::not_found,
                    fmt::format("storage volume '{}' not found in pool '{}'", use.volume, use.pool));
    }
    Result<UniqueFd> mount_volume(const devices::VolumeUse& use, const sys::IdMap& idmap) override {
        return mount_custom_volume(context_, use, idmap);
    }
    [[nodiscard]] std::optional<std::vector<std::string>> source_directories(
        const std::string& instance) const override {
        const auto project =
            context_.deps.database.projects().find(api::split_instance_key(instance).project);
        return project ? allowed_disk_sources(*project) : std::nullopt;
    }
    void note_volume(const devices::VolumeUse& use) override {
        const auto row = find_used_volume(context_, use);
        if (row) std::ignore = context_.volume_mounts.use(row->id, use.instance, use.device);
    }
    void release_volume(const std::string& instance, const std::string& device) override {
        context_.volume_mounts.release(instance, device);
    }
    Result<> check_forwards(const network::ProxyNat& nat) override {
        return context_.deps.networks.rules().check_unforwarded(nat);
    }
    Result<UniqueFd> open_netns(const std::string& instance) override {
        return context_.deps.runtime.open_netns(instance);
    }
    Result<std::vector<devices::NicOnNetwork>> addresses(const std::string& instance) override;
    api::DeviceMap devices_of(const std::string& instance) override {
        if (coming_) return *coming_;
        const auto record = context_.rows().find(instance);
        return record ? expand(context_, *record).devices : api::DeviceMap();
    }

private:
    Context& context_;
    std::shared_ptr<const api::DeviceMap> coming_;
};

/// What a guest gives itself on a network without stateful DHCPv6; empty: nothing.
std::string autoconfigured(const api::ConfigMap& config, const std::string& hwaddr) {
    const auto value = [&config](const char* key) {
        const auto found = config.find(key);
        return found == config.end() ? std::string() : found->second;
    };
    const auto net = network::parse_ipv6_net(value("ipv6.address"));
    const auto mac = network::parse_mac(hwaddr);
    if (!net || !mac || net->prefix != 64 || profiles::parse_bool(value("ipv6.dhcp.stateful"))) return {};
    return network::format_ipv6(network::eui64(*net, *mac));
}

Result<std::vector<devices::NicOnNetwork>> LiveSurroundings::addresses(const std::string& instance) {
    std::vector<devices::NicOnNetwork> out;
    const auto record = context_.rows().find(instance);
    if (!record) return out;
    for (const auto& [device, keys] : expand(context_, *record).devices) {
        const auto value = [&keys](const char* key) {
            const auto found = keys.find(key);
            return found == keys.end() ? std::string() : found->second;
        };
        const auto kept = record->config.find(fmt::format("volatile.{}.hwaddr", device));
        std::string hwaddr = value("hwaddr");
        if (hwaddr.empty() && kept != record->config.end()) hwaddr = kept->second;
        if (value("type") != "nic" || value("network").empty() || hwaddr.empty()) continue;
        if (nic_on_parent(keys)) continue;  // that network's addresses are not ours to give
        LX_TRY_AS(const auto claim,
                  context_.deps.networks.claim({value("network"), instance, device, to_lower(hwaddr),
                                                devices::static_address(value("ipv4.address")),
                                                devices::static_address(value("ipv6.address"))}));
        devices::NicOnNetwork nic{value("network"), {claim.ipv4, claim.ipv6}};
        const auto network = network_config(nic.network);
        if (nic.addresses.ipv6.empty() && network)
            nic.addresses.ipv6 = autoconfigured(*network, to_lower(hwaddr));
        out.push_back(std::move(nic));
    }
    return out;
}

/// The devices of one instance, each with its type and context. `config` must outlive it.
class DeviceSet {
public:
    DeviceSet(Context& context, std::string instance, const api::DeviceMap& expanded,
              const api::ConfigMap& config)
        : context_(context),
          instance_(std::move(instance)),
          expanded_(expanded),
          config_(config),
          idmap_(current_idmap(context, config)),
          surroundings_(context, nullptr) {}

    devices::DeviceContext of(const std::string& device, const api::ConfigMap& keys) {
        return {instance_, device, keys, config_, surroundings_, idmap_, context_.deps.pools.idmaps()};
    }
    /// Calls work(type, device context) for each device until one fails.
    Result<> each(
        const std::function<Result<>(const devices::DeviceType&, const devices::DeviceContext&)>& work) {
        for (const auto& [name, keys] : expanded_) {
            LX_TRY_AS(const devices::DeviceType* type, devices::find_type(name, keys));
            LX_TRY(work(*type, of(name, keys)));
        }
        return {};
    }

private:
    Context& context_;
    std::string instance_;
    const api::DeviceMap& expanded_;
    const api::ConfigMap& config_;
    const sys::IdMap idmap_;
    LiveSurroundings surroundings_;
};

void merge(const api::ConfigMap& changes, api::ConfigMap& config) {
    for (const auto& [key, value] : changes) {
        if (value.empty()) {
            config.erase(key);
        } else {
            config[key] = value;
        }
    }
}

database::ConfigChanges to_changes(const api::ConfigMap& changes) {
    database::ConfigChanges out;
    for (const auto& [key, value] : changes)
        out.emplace_back(key, value.empty() ? std::nullopt : std::optional(value));
    return out;
}

void store_devices(Context& context, const std::string& name, const api::ConfigMap& changes) {
    if (changes.empty() || !context.rows().find(name)) return;
    if (auto stored = context.rows().change_config(name, to_changes(changes), false); !stored) {
        log::error("device state not stored", {{"instance", name}, {"error", stored.error().message}});
    }
}

using Step = Result<api::ConfigMap> (devices::DeviceType::*)(const devices::DeviceContext&) const;

/// Runs a clean-up step over all devices; failures are logged and the rest goes on.
api::ConfigMap run_cleanup(Context& context, const database::InstanceRecord& record,
                           const api::DeviceMap& expanded, Step step) {
    api::ConfigMap changes;
    DeviceSet set(context, record.name, expanded, record.config);
    for (const auto& [name, keys] : expanded) {
        const auto type = devices::find_type(name, keys);
        auto done = type ? ((*type)->*step)(set.of(name, keys))
                         : Result<api::ConfigMap>(std::unexpected(type.error()));
        if (done) {
            changes.insert(done->begin(), done->end());
        } else {
            log::warn("device not cleaned up",
                      {{"instance", record.name}, {"device", name}, {"error", done.error().message}});
        }
    }
    return changes;
}

}  // namespace

std::unique_ptr<devices::Surroundings> make_surroundings(Context& context,
                                                         std::shared_ptr<const api::DeviceMap> coming) {
    return std::make_unique<LiveSurroundings>(context, std::move(coming));
}

Result<> prepare_devices(Context& context, const api::DeviceMap& expanded, database::InstanceRecord& record) {
    api::ConfigMap changes;
    DeviceSet set(context, record.name, expanded, record.config);
    LX_TRY(set.each([&](const devices::DeviceType& type, const devices::DeviceContext& device) -> Result<> {
        LX_TRY_AS(const auto kept, type.prepare(device));
        changes.insert(kept.begin(), kept.end());
        return {};
    }));
    merge(changes, record.config);
    return {};
}

Result<> validate_devices_for(Context& context, const api::DeviceMap& expanded,
                              const database::InstanceRecord& record) {
    DeviceSet set(context, record.name, expanded, record.config);
    LX_TRY(set.each([](const devices::DeviceType& type, const devices::DeviceContext& device) {
        return type.validate(device);
    }));
    return check_nics(context, expanded, record);
}

Result<StartedDevices> start_devices(Context& context, const api::DeviceMap& expanded,
                                     const database::InstanceRecord& record) {
    StartedDevices out;
    api::ConfigMap changes;
    DeviceSet set(context, record.name, expanded, record.config);
    auto done =
        set.each([&](const devices::DeviceType& type, const devices::DeviceContext& device) -> Result<> {
            auto started = type.start(device);
            if (!started)
                return std::unexpected(
                    in(fmt::format("Starting device '{}'", device.device), std::move(started).error()));
            std::ranges::move(started->attaches, std::back_inserter(out.attaches));
            if (started->when_running) out.when_running.push_back(std::move(started->when_running));
            if (started->in_network) out.in_network.push_back(std::move(started->in_network));
            changes.insert(started->volatile_changes.begin(), started->volatile_changes.end());
            return {};
        });
    if (done && !changes.empty()) {
        if (auto stored = context.rows().change_config(record.name, to_changes(changes), false); !stored)
            done = std::unexpected(stored.error());
    }
    if (!done) {
        database::InstanceRecord so_far = record;
        merge(changes, so_far.config);
        store_devices(context, record.name,
                      run_cleanup(context, so_far, expanded, &devices::DeviceType::stop));
        return std::unexpected(std::move(done).error());
    }
    return out;
}

Result<> finish_devices(Context& context, const std::string& instance, const StartedDevices& started) {
    if (started.when_running.empty()) return {};
    const auto pid = context.live.get(instance).init_pid;
    LX_TRY_AS(const UniqueFd pidfd, sys::open_pidfd(pid));
    // Found alive after the pidfd was opened: so that is of this very process.
    LX_TRY_AS(const UniqueFd netns, context.deps.runtime.open_netns(instance));
    LX_TRY_AS(const UniqueFd root, context.deps.runtime.open_root(instance));
    const devices::RunningInstance running{pidfd.get(), netns.get(), root.get()};
    for (const auto& step : started.when_running) LX_TRY(step(running));
    return {};
}

void release_devices(Context& context, const database::InstanceRecord& record) {
    const auto expanded = expand(context, record);
    devices::end_unknown_proxies(context.run_dir(record.name), {});
    store_devices(context, record.name,
                  run_cleanup(context, record, expanded.devices, &devices::DeviceType::stop));
    context.volume_mounts.release_all(record.name);
    unload_apparmor(context.run_dir(record.name));
}

namespace {

/// Failures are logged: the others are recovered all the same.
void recover_each(Context& context, const database::InstanceRecord& record, const api::DeviceMap& expanded,
                  const std::function<bool(const devices::DeviceContext&)>& wanted) {
    DeviceSet set(context, record.name, expanded, record.config);
    auto done =
        set.each([&](const devices::DeviceType& type, const devices::DeviceContext& device) -> Result<> {
            if (!wanted(device)) return {};
            if (auto recovered = type.recover(device); !recovered) {
                log::warn("device not recovered", {{"instance", record.name},
                                                   {"device", device.device},
                                                   {"error", recovered.error().message}});
            }
            return {};
        });
    if (!done)
        log::warn("devices not recovered", {{"instance", record.name}, {"error", done.error().message}});
}

}  // namespace

void recover_devices(Context& context, const database::InstanceRecord& record) {
    const auto expanded = expand(context, record);
    devices::end_unknown_proxies(context.run_dir(record.name), expanded.devices);
    recover_each(context, record, expanded.devices, [](const devices::DeviceContext&) { return true; });
}

void repair_nics_of(Context& context, const database::InstanceRecord& record) {
    const auto expanded = expand(context, record);
    recover_each(context, record, expanded.devices, [](const devices::DeviceContext& device) {
        const bool translates = device.key("type") == "proxy" && profiles::parse_bool(device.key("nat"));
        return translates || device.key("type") == "nic";
    });
}

}  // namespace lxmgr::instances
