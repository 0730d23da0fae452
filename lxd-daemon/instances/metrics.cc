#include "lxd-daemon/api/metrics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/limits.h"
#include "lxd-daemon/runtime/metrics.h"

namespace lxmgr::instances {
namespace {

/// LXD's names for what memory.stat counts. "Active" and "Inactive" are sums.
void name_memory(const runtime::Counts& counts, std::uint64_t total, api::InstanceMetrics& metrics) {
    constexpr std::pair<const char*, const char*> kNames[] = {
        {"active_anon", "Active_anon"},
        {"active_file", "Active_file"},
        {"inactive_anon", "Inactive_anon"},
        {"inactive_file", "Inactive_file"},
        {"file", "Cached"},
        {"file_dirty", "Dirty"},
        {"file_mapped", "Mapped"},
        {"file_writeback", "Writeback"},
        {"anon", "RSS"},
        {"shmem", "Shmem"},
        {"swap", "Swap"},
        {"unevictable", "Unevictable"},
    };
    auto& memory = metrics.memory_bytes;
    if (counts.memory.empty()) return;
    for (const auto& [theirs, ours] : kNames) {
        if (const auto found = counts.memory.find(theirs); found != counts.memory.end())
            memory[ours] = found->second;
    }
    memory["Active"] = memory["Active_anon"] + memory["Active_file"];
    memory["Inactive"] = memory["Inactive_anon"] + memory["Inactive_file"];
    memory["MemTotal"] = total;
    memory["MemFree"] = total - std::min(total, counts.memory_used_bytes);
    // What is cached gives way to what is asked for.
    memory["MemAvailable"] = std::min(total, memory["MemFree"] + memory["Cached"]);
    metrics.oom_kills = counts.oom_kills;
}

/// Device and type of what is mounted on /, proc(5).
std::pair<std::string, std::string> root_mount(pid_t pid) {
    const std::string mounts = read_file(fmt::format("/proc/{}/mounts", pid)).value_or("");
    for (const std::string& line : split(mounts, '\n')) {
        const auto fields = split(line, ' ');
        if (fields.size() > 2 && fields[1] == "/") return {fields[0], fields[2]};
    }
    return {};
}

void read_filesystem(const Context& context, const std::string& name, pid_t pid,
                     api::InstanceMetrics& metrics) {
    const auto root = context.deps.runtime.open_root(name);
    struct statvfs found{};
    if (!root || ::fstatvfs(root->get(), &found) != 0) return;
    const auto bytes = [&found](fsblkcnt_t blocks) { return std::uint64_t{blocks} * found.f_frsize; };
    const auto [device, type] = root_mount(pid);
    metrics.filesystems.push_back(
        {device, type, bytes(found.f_blocks), bytes(found.f_bfree), bytes(found.f_bavail)});
}

}  // namespace

std::optional<api::InstanceMetrics> instance_metrics(const Context& context,
                                                     const database::InstanceRecord& record) {
    const LiveState live = context.live.get(record.name);
    if (live.status == api::StatusCode::stopped) return std::nullopt;
    const auto counts = context.deps.runtime.counts(record.name);
    if (!counts) return std::nullopt;  // it has just ended
    api::InstanceMetrics metrics;
    auto named = api::split_instance_key(record.name);
    metrics.name = std::move(named.name);
    metrics.project = std::move(named.project);
    metrics.user_seconds = static_cast<double>(counts->user_ns) / 1e9;
    metrics.system_seconds = static_cast<double>(counts->system_ns) / 1e9;
    metrics.cpus = live.limits.cpus ? std::ssize(*live.limits.cpus) : ::sysconf(_SC_NPROCESSORS_ONLN);
    metrics.processes = counts->processes;
    name_memory(*counts, live.limits.memory_bytes.value_or(total_memory_bytes()), metrics);
    for (const auto& disk : counts->disks)
        metrics.disks.push_back({disk.device, disk.read_bytes, disk.reads, disk.written_bytes, disk.writes});
    read_filesystem(context, record.name, live.init_pid, metrics);
    if (const auto networks = networks_of(context, record)) {
        for (const auto& [name, network] : *networks) metrics.networks[name] = network.counters;
    }
    return metrics;
}

}  // namespace lxmgr::instances
