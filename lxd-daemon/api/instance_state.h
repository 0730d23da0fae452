#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"

namespace lxmgr::api {

struct DiskState {
    std::int64_t usage_bytes = 0;
    std::int64_t total_bytes = 0;  ///< 0: no limit
};

struct MemoryState {
    std::int64_t usage_bytes = 0, usage_peak_bytes = 0;
    std::int64_t swap_usage_bytes = 0, swap_usage_peak_bytes = 0;
    std::optional<std::int64_t> total_bytes;  ///< the limit; its key is absent without one (not in LXD 5.0.2)
};

struct NetworkAddress {
    std::string family;  ///< "inet" or "inet6"
    std::string address;
    std::string netmask;  ///< prefix length
    std::string scope;    ///< "global", "link" or "local"
};

struct NetworkCounters {
    std::int64_t bytes_received = 0, bytes_sent = 0;
    std::int64_t packets_received = 0, packets_sent = 0;
    std::int64_t errors_received = 0, errors_sent = 0;
    std::int64_t packets_dropped_inbound = 0, packets_dropped_outbound = 0;
};

/// One interface inside an instance.
struct InstanceNetwork {
    std::vector<NetworkAddress> addresses;
    NetworkCounters counters;
    std::string hwaddr;
    std::string host_name;  ///< our end of a veth pair; empty: none
    int mtu = 0;
    std::string state;  ///< "up" or "down"
    std::string type;   ///< "broadcast", "loopback", "point-to-point", "unknown"
};

/// GET /1.0/instances/NAME/state. Of a stopped instance: status and disk only, the rest 0, network null.
struct InstanceState {
    StatusCode status = StatusCode::stopped;
    std::map<std::string, DiskState> disk;
    MemoryState memory;
    std::optional<std::map<std::string, InstanceNetwork>> network;
    std::int64_t pid = 0;
    std::int64_t processes = 0;  ///< -1: unknown
    std::int64_t cpu_usage_ns = 0;
    Time started_at{};  ///< Incus's started_at; absent while stopped
    Time ready_at{};    ///< ours, lxmgr_ready_at: its systemd or the guest itself said so; absent before
};

std::string to_json_text(const InstanceState& state);
nlohmann::json to_json(const InstanceState& state);

}  // namespace lxmgr::api
