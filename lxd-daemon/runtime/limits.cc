#include "lxd-daemon/runtime/limits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::runtime {
namespace {

using Home = sys::Cgroups::Home;

/// The seat, from which commands are started, is a process of the container's cgroups but not of the
/// container's.
constexpr std::uint64_t kSeatProcesses = 1;
constexpr std::uint64_t kDefaultWeight = 100;
constexpr std::uint64_t kDefaultPeriodUs = 100'000;

struct Setting {
    std::string_view controller;
    std::string file;
    std::string value;
    bool operator==(const Setting&) const = default;
};
using Settings = std::vector<Setting>;

std::string number_or(std::optional<std::uint64_t> value, std::string_view unlimited) {
    return value ? std::to_string(*value) : std::string(unlimited);
}

/// Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst. A soft limit makes the kernel reclaim
/// first here (v1) or slow the group down (v2); a hard one ends in the OOM killer.
void add_memory(Settings& out, Home home, const Limits& limits) {
    const std::optional<std::uint64_t> none;
    const auto hard = limits.memory_soft ? none : limits.memory_bytes;
    const auto soft = limits.memory_soft ? limits.memory_bytes : none;
    if (home == Home::v1) {
        out.push_back({"memory", "memory.limit_in_bytes", number_or(hard, "-1")});
        out.push_back({"memory", "memory.soft_limit_in_bytes", number_or(soft, "-1")});
    } else {
        out.push_back({"memory", "memory.max", number_or(hard, "max")});
        out.push_back({"memory", "memory.high", number_or(soft, "max")});
    }
}

void add_cpu(Settings& out, Home home, const Limits& limits) {
    const std::uint64_t weight =
        std::clamp<std::uint64_t>(limits.cpu_weight.value_or(kDefaultWeight), 1, 10'000);
    const std::uint64_t period = limits.cpu_period_us.value_or(kDefaultPeriodUs);
    if (home == Home::v1) {
        // 1024 shares are the default there, as weight 100 is in cgroup2.
        out.push_back({"cpu", "cpu.shares", std::to_string(std::max<std::uint64_t>(weight * 1024 / 100, 2))});
        out.push_back({"cpu", "cpu.cfs_period_us", std::to_string(period)});
        out.push_back({"cpu", "cpu.cfs_quota_us", number_or(limits.cpu_quota_us, "-1")});
    } else {
        out.push_back({"cpu", "cpu.weight", std::to_string(weight)});
        out.push_back(
            {"cpu", "cpu.max", fmt::format("{} {}", number_or(limits.cpu_quota_us, "max"), period)});
    }
}

Result<> add_cpus(Settings& out, const sys::Cgroups& cgroups, Home home, const Limits& limits) {
    if (limits.cpus) {
        out.push_back({"cpuset", "cpuset.cpus", fmt::format("{}", fmt::join(*limits.cpus, ","))});
        return {};
    }
    // All of them by name: a group with processes cannot get an empty set back (ENOSPC, seen on 6.1).
    const char* const file = home == Home::v1 ? "cpuset.cpus" : "cpuset.cpus.effective";
    LX_TRY_AS(const std::string all, cgroups.read_parent("cpuset", file));
    out.push_back({"cpuset", "cpuset.cpus", std::string(trim(all))});
    return {};
}

/// A limit that the host cannot enforce is an error, not a wish.
Result<> require_home(Home home, bool wanted, std::string_view controller) {
    if (!wanted || home != Home::none) return {};
    return fail(Status::bad_request,
                fmt::format("This host has no {} cgroup controller, which a limit needs", controller));
}

bool wants_cpu(const Limits& limits) { return limits.cpu_weight || limits.cpu_quota_us; }

/// Everything to be written for these limits, where the container has (or is to have) the controller.
Result<Settings> settings_for(const sys::Cgroups& cgroups, const std::string& name, const Limits& limits) {
    const auto usable = [&](std::string_view controller) {
        const Home home = cgroups.home(controller);
        return home == Home::v1 && !cgroups.has_v1(name, controller) ? Home::none : home;
    };
    Settings out;
    const Home memory = usable("memory"), pids = usable("pids"), cpu = usable("cpu"),
               cpuset = usable("cpuset");
    LX_TRY(require_home(memory, limits.memory_bytes.has_value(), "memory"));
    LX_TRY(require_home(pids, limits.processes.has_value(), "pids"));
    LX_TRY(require_home(cpu, wants_cpu(limits), "cpu"));
    LX_TRY(require_home(cpuset, limits.cpus.has_value(), "cpuset"));
    if (memory != Home::none) add_memory(out, memory, limits);
    if (pids != Home::none) {
        const auto count =
            limits.processes ? std::optional(*limits.processes + kSeatProcesses) : std::nullopt;
        out.push_back({"pids", "pids.max", number_or(count, "max")});
    }
    if (cpu != Home::none) add_cpu(out, cpu, limits);
    if (cpuset != Home::none) LX_TRY(add_cpus(out, cgroups, cpuset, limits));
    return out;
}

std::vector<std::string_view> needed_controllers(const Limits& limits) {
    std::vector<std::string_view> needed{"memory", "pids", "name=systemd"};
    if (wants_cpu(limits)) needed.emplace_back("cpu");
    if (limits.cpus) needed.emplace_back("cpuset");
    return needed;
}

Result<> write_setting(const sys::Cgroups& cgroups, const std::string& name, const Setting& setting) {
    return cgroups.write(name, setting.controller, setting.file, setting.value);
}

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

Result<> prepare_limits(sys::Cgroups& cgroups, const std::string& name, const Limits& limits) {
    for (const std::string_view controller : needed_controllers(limits))
        LX_TRY(cgroups.create_v1(name, controller));
    LX_TRY_AS(const Settings wanted, settings_for(cgroups, name, limits));
    // A new group has no limits: only what differs is worth a write.
    LX_TRY_AS(const Settings unlimited, settings_for(cgroups, name, Limits{}));
    for (const Setting& setting : wanted) {
        if (std::ranges::find(unlimited, setting) == unlimited.end())
            LX_TRY(write_setting(cgroups, name, setting));
    }
    return {};
}

Result<bool> change_limits(sys::Cgroups& cgroups, const std::string& name, const Limits& old_limits,
                           const Limits& new_limits) {
    bool joined = false;
    for (const std::string_view controller : needed_controllers(new_limits)) {
        if (cgroups.home(controller) != Home::v1 || cgroups.has_v1(name, controller)) continue;
        LX_TRY(cgroups.create_v1(name, controller));
        LX_TRY(cgroups.gather_v1(name, controller));
        joined = true;
    }
    LX_TRY_AS(const Settings before, settings_for(cgroups, name, old_limits));
    LX_TRY_AS(const Settings after, settings_for(cgroups, name, new_limits));
    std::size_t done = 0;
    for (; done < after.size(); ++done) {
        if (after[done] == before[done]) continue;
        auto written = write_setting(cgroups, name, after[done]);
        if (written) continue;
        while (done-- > 0) {
            if (after[done] != before[done]) (void)write_setting(cgroups, name, before[done]).has_value();
        }
        return std::unexpected(std::move(written).error());
    }
    return joined;
}

Result<Usage> read_usage(const sys::Cgroups& cgroups, const std::string& name) {
    Usage usage;
    if (cgroups.home("memory") == Home::v1) {
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
