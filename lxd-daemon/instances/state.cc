#include <fmt/format.h>

#include "lxd-daemon/instances/context.h"
#include "network/bridge.h"

namespace lxmgr::instances {
namespace {

/// Name inside the instance -> our end of the veth pair, from the devices and volatile.*.
std::map<std::string, std::string> host_names(const database::InstanceRecord& record,
                                              const api::DeviceMap& expanded) {
    std::map<std::string, std::string> names;
    for (const auto& [device, keys] : expanded) {
        const auto* type = api::find_value(keys, "type");
        if (type == nullptr || *type != "nic") continue;
        const auto* host = api::find_value(record.config, fmt::format("volatile.{}.host_name", device));
        const auto* chosen = api::find_value(record.config, fmt::format("volatile.{}.name", device));
        const auto* given = api::find_value(keys, "name");
        if (host != nullptr) names[given != nullptr ? *given : chosen != nullptr ? *chosen : device] = *host;
    }
    return names;
}

api::InstanceNetwork to_api(const network::InterfaceState& from) {
    api::InstanceNetwork out;
    for (const auto& address : from.addresses) {
        out.addresses.push_back({address.family, address.address, address.netmask, address.scope});
    }
    const auto signed_of = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
    out.counters = {
        signed_of(from.counters.bytes_received),          signed_of(from.counters.bytes_sent),
        signed_of(from.counters.packets_received),        signed_of(from.counters.packets_sent),
        signed_of(from.counters.errors_received),         signed_of(from.counters.errors_sent),
        signed_of(from.counters.packets_dropped_inbound), signed_of(from.counters.packets_dropped_outbound)};
    out.hwaddr = from.hwaddr;
    out.mtu = from.mtu;
    out.state = from.state;
    out.type = from.type;
    return out;
}

Result<std::map<std::string, api::InstanceNetwork>> networks_of(const Context& context,
                                                                const database::InstanceRecord& record,
                                                                const api::DeviceMap& expanded) {
    LX_TRY_AS(const UniqueFd netns, context.deps.runtime.open_netns(record.name));
    LX_TRY_AS(const auto interfaces, network::interface_states_of(netns.get()));
    const auto hosts = host_names(record, expanded);
    std::map<std::string, api::InstanceNetwork> out;
    for (const auto& interface : interfaces) {
        auto& shown = out[interface.name] = to_api(interface);
        if (const auto host = hosts.find(interface.name); host != hosts.end()) shown.host_name = host->second;
    }
    return out;
}

}  // namespace

Result<std::map<std::string, api::InstanceNetwork>> networks_of(const Context& context,
                                                                const database::InstanceRecord& record) {
    return networks_of(context, record, expand(context, record).devices);
}

Result<api::InstanceState> instance_state(const Context& context, const database::InstanceRecord& record) {
    const LiveState live = context.live.get(record.name);
    const auto expanded = expand(context, record);
    api::InstanceState state;
    state.status = shown_status(live);
    if (const auto root = root_disk(expanded.devices)) {
        const auto driver = context.deps.pools.driver(record.pool);
        const storage::Volume volume{storage::VolumeType::container, record.name};
        const auto used =
            driver ? (*driver)->usage_bytes(volume) : Result<std::uint64_t>(std::unexpected(driver.error()));
        const auto total = used ? (*driver)->volume_limit(volume) : used;
        if (total)
            state.disk[root->first] = {static_cast<std::int64_t>(*used), static_cast<std::int64_t>(*total)};
    }
    if (live.status == api::StatusCode::stopped) return state;

    // It may end between these steps: then what was read so far is as true as anything.
    const auto usage = context.deps.runtime.usage(record.name);
    auto networks = networks_of(context, record, expanded.devices);
    if (!usage || !networks) {
        const Error& error = !usage ? usage.error() : networks.error();
        const bool ended =
            error.status == Status::not_found || context.live.get(record.name).runs != live.runs;
        if (!ended) return std::unexpected(error);
        state.status = api::StatusCode::stopped;
        return state;
    }
    state.pid = live.init_pid;
    state.started_at = live.started_at;
    state.ready_at = ready_at(live);
    state.processes = usage->processes;
    state.cpu_usage_ns = usage->cpu_ns;
    state.memory.usage_bytes = static_cast<std::int64_t>(usage->memory_bytes);
    state.memory.usage_peak_bytes = static_cast<std::int64_t>(usage->memory_peak_bytes);
    state.memory.swap_usage_bytes = static_cast<std::int64_t>(usage->swap_bytes);
    state.memory.swap_usage_peak_bytes = static_cast<std::int64_t>(usage->swap_peak_bytes);
    if (live.limits.memory_bytes)
        state.memory.total_bytes = static_cast<std::int64_t>(*live.limits.memory_bytes);
    state.network = std::move(*networks);
    return state;
}

}  // namespace lxmgr::instances
