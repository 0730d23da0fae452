#include "lxd-daemon/api/instance_state.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_writer.h"

namespace lxmgr::api {
namespace {

void append(std::string& out, const DiskState& disk) {
    ObjectWriter object(out);
    object.number("usage", disk.usage_bytes);
    object.number("total", disk.total_bytes);
    object.end();
}

void append(std::string& out, const MemoryState& memory) {
    ObjectWriter object(out);
    object.number("usage", memory.usage_bytes);
    object.number("usage_peak", memory.usage_peak_bytes);
    if (memory.total_bytes) object.number("total", *memory.total_bytes);
    object.number("swap_usage", memory.swap_usage_bytes);
    object.number("swap_usage_peak", memory.swap_usage_peak_bytes);
    object.end();
}

void append(std::string& out, const NetworkAddress& address) {
    ObjectWriter object(out);
    object.text("family", address.family);
    object.text("address", address.address);
    object.text("netmask", address.netmask);
    object.text("scope", address.scope);
    object.end();
}

void append(std::string& out, const NetworkCounters& counters) {
    ObjectWriter object(out);
    object.number("bytes_received", counters.bytes_received);
    object.number("bytes_sent", counters.bytes_sent);
    object.number("packets_received", counters.packets_received);
    object.number("packets_sent", counters.packets_sent);
    object.number("errors_received", counters.errors_received);
    object.number("errors_sent", counters.errors_sent);
    object.number("packets_dropped_outbound", counters.packets_dropped_outbound);
    object.number("packets_dropped_inbound", counters.packets_dropped_inbound);
    object.end();
}

void append(std::string& out, const InstanceNetwork& network) {
    ObjectWriter object(out);
    std::string& addresses = object.raw("addresses");
    addresses += '[';
    for (std::size_t i = 0; i < network.addresses.size(); ++i) {
        if (i != 0) addresses += ',';
        append(addresses, network.addresses[i]);
    }
    addresses += ']';
    append(object.raw("counters"), network.counters);
    object.text("hwaddr", network.hwaddr);
    object.text("host_name", network.host_name);
    object.number("mtu", network.mtu);
    object.text("state", network.state);
    object.text("type", network.type);
    object.end();
}

template <typename Value>
void append_all(std::string& out, const std::map<std::string, Value>& values) {
    ObjectWriter object(out);
    for (const auto& [name, value] : values) append(object.raw_name(name), value);
    object.end();
}

}  // namespace

std::string to_json_text(const InstanceState& state) {
    std::string out;
    out.reserve(1024);
    ObjectWriter object(out);
    object.text("status", status_text(state.status));
    object.number("status_code", static_cast<int>(state.status));
    append_all(object.raw("disk"), state.disk);
    append(object.raw("memory"), state.memory);
    if (state.network) {
        append_all(object.raw("network"), *state.network);
    } else {
        object.raw("network") += "null";
    }
    object.number("pid", state.pid);
    object.number("processes", state.processes);
    ObjectWriter cpu(object.raw("cpu"));
    cpu.number("usage", state.cpu_usage_ns);
    cpu.end();
    if (state.started_at != Time{}) object.text("started_at", to_rfc3339(state.started_at));
    if (state.ready_at != Time{}) object.text("lxmgr_ready_at", to_rfc3339(state.ready_at));
    object.end();
    return out;
}

nlohmann::json to_json(const InstanceState& state) { return nlohmann::json::parse(to_json_text(state)); }

}  // namespace lxmgr::api
