#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lxd-daemon/api/instance_state.h"

namespace lxmgr::api {

/// GET /1.0/metrics: what is counted for one running instance, in LXD's terms.
struct InstanceMetrics {
    struct Disk {
        std::string device;
        std::uint64_t read_bytes = 0, reads = 0, written_bytes = 0, writes = 0;
    };
    /// Of the root; `fstype` empty: unknown.
    struct Filesystem {
        std::string device, fstype;
        std::uint64_t size_bytes = 0, free_bytes = 0, available_bytes = 0;
    };
    std::string name, project;
    double user_seconds = 0, system_seconds = 0;
    std::int64_t cpus = 0;  ///< that it may use
    /// By the middle of the metric's name: "Active_anon" for lxd_memory_Active_anon_bytes.
    std::map<std::string, std::uint64_t> memory_bytes;
    std::uint64_t oom_kills = 0;
    std::vector<Disk> disks;
    std::vector<Filesystem> filesystems;
    std::map<std::string, NetworkCounters> networks;
    std::int64_t processes = 0;
};

struct ServerMetrics {
    std::uint64_t operations = 0, warnings = 0;
    double uptime_seconds = 0;
};

/// OpenMetrics 1.0 text, with its "# EOF".
std::string to_open_metrics(const std::vector<InstanceMetrics>& instances, const ServerMetrics& server);

}  // namespace lxmgr::api
