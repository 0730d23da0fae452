#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/runtime/limits.h"

namespace lxmgr::runtime {
namespace {

/// Number of a one-line file; 0 where the kernel or the host has no such file.
std::uint64_t number_in(const sys::Cgroups& cgroups, const std::string& name, std::string_view controller,
                        const char* file) {
    return parse_uint(trim(cgroups.read(name, controller, file).value_or(""))).value_or(0);
}

std::int64_t cpu_time_ns(const sys::Cgroups& cgroups, const std::string& name) {
    // cgroup2 counts CPU time in every group, with or without its controller.
    const auto stat = cgroups.read(name, "", "cpu.stat");
    for (const std::string& line : split(stat.value_or(""), '\n')) {
        constexpr std::string_view kKey = "usage_usec ";
        if (line.starts_with(kKey))
            return parse_int(std::string_view(line).substr(kKey.size())).value_or(0) * 1000;
    }
    return 0;
}

}  // namespace

Result<Usage> read_usage(const sys::Cgroups& cgroups, const std::string& name) {
    Usage usage;
    if (cgroups.home("memory") == sys::Cgroups::Home::v1) {
        usage.memory_bytes = number_in(cgroups, name, "memory", "memory.usage_in_bytes");
        usage.memory_peak_bytes = number_in(cgroups, name, "memory", "memory.max_usage_in_bytes");
        const std::uint64_t both = number_in(cgroups, name, "memory", "memory.memsw.usage_in_bytes");
        const std::uint64_t both_peak = number_in(cgroups, name, "memory", "memory.memsw.max_usage_in_bytes");
        usage.swap_bytes = both > usage.memory_bytes ? both - usage.memory_bytes : 0;
        usage.swap_peak_bytes = both_peak > usage.memory_peak_bytes ? both_peak - usage.memory_peak_bytes : 0;
    } else {
        usage.memory_bytes = number_in(cgroups, name, "memory", "memory.current");
        usage.memory_peak_bytes = number_in(cgroups, name, "memory", "memory.peak");
        usage.swap_bytes = number_in(cgroups, name, "memory", "memory.swap.current");
        usage.swap_peak_bytes = number_in(cgroups, name, "memory", "memory.swap.peak");
    }
    const std::uint64_t tasks = number_in(cgroups, name, "pids", "pids.current");
    usage.processes = static_cast<std::int64_t>(tasks > kSeatProcesses ? tasks - kSeatProcesses : tasks);
    usage.cpu_ns = cpu_time_ns(cgroups, name);
    return usage;
}

}  // namespace lxmgr::runtime
