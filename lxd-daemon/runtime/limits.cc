#include "lxd-daemon/runtime/limits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::runtime {
namespace {

using LimitHome = sys::Cgroups::Home;

constexpr std::uint64_t kDefaultWeight = 100;
constexpr std::uint64_t kDefaultPeriodUs = 100'000;
constexpr const char* kSoftV2 = "memory.low";
constexpr std::pair<std::string_view, std::string_view> kRateFiles[] = {
    {"io", "io.max"},
    {"blkio", "blkio.throttle.read_bps_device"},
    {"blkio", "blkio.throttle.write_bps_device"},
    {"blkio", "blkio.throttle.read_iops_device"},
    {"blkio", "blkio.throttle.write_iops_device"}};

struct Setting {
    std::string_view controller;
    std::string file;
    std::string value;
    std::string key;            ///< the config key, for errors
    bool is_inherited = false;  ///< the value at the moment of a parent's that may come to have more
    bool operator==(const Setting&) const = default;
};
using Settings = std::vector<Setting>;

/// What two sets of limits that are compared speak of: so that their settings stand side by side.
struct Shape {
    bool memory = false, processes = false, swap = false, swappiness = false, cpu = false, cpus = false,
         nodes = false, disk = false;
    std::set<std::string> pages, disks;

    void add(const Limits& limits) {
        memory |= limits.memory_bytes.has_value();
        processes |= limits.processes.has_value();
        swap |= limits.swap_bytes.has_value();
        swappiness |= limits.swappiness.has_value();
        cpu |= limits.cpu_weight || limits.cpu_quota_us || limits.cpu_handicap != 0;
        cpus |= limits.cpus.has_value();
        nodes |= limits.memory_nodes.has_value();
        disk |= limits.disk_priority.has_value();
        for (const auto& [size, bytes] : limits.hugepages) pages.insert(size);
        for (const auto& [device, rates] : limits.disk_rates) disks.insert(device);
    }
    /// Whatever may be set in the kernel.
    static Shape all(const sys::Cgroups& cgroups, const std::string& name) {
        Shape shape{true, true, true, true, true, true, true, true, {"64KB", "1MB", "2MB", "1GB"}, {}};
        for (const auto& [controller, file] : kRateFiles) {
            const auto text = cgroups.read(name, controller, std::string(file));
            for (const std::string& line : split(text.value_or(""), '\n')) {
                if (line.contains(':')) shape.disks.insert(line.substr(0, line.find(' ')));
            }
        }
        return shape;
    }
};

std::string number_or(std::optional<std::uint64_t> value, std::string_view unlimited) {
    return value ? std::to_string(*value) : std::string(unlimited);
}

/// Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst. Beyond a soft limit the kernel reclaims
/// first here when memory is short: v2's word for that is memory.low, while memory.high stalls the group
/// however much there is. A hard one ends in the OOM killer. v1 counts memory and swap together, and wants
/// that limit to be the higher one of the two at any time.
Result<> add_memory(Settings& out, LimitHome home, const Limits& limits, const Shape& shape) {
    const std::optional<std::uint64_t> none;
    const auto hard = limits.memory_soft ? none : limits.memory_bytes;
    const auto soft = limits.memory_soft ? limits.memory_bytes : none;
    constexpr const char* kMemory = "limits.memory";
    constexpr const char* kSwap = "limits.memory.swap";
    if (home == LimitHome::v2) {
        if (shape.memory) {
            out.push_back({"memory", "memory.max", number_or(hard, "max"), kMemory});
            out.push_back({"memory", kSoftV2, number_or(soft, "0"), kMemory});
        }
        if (shape.swap)
            out.push_back({"memory", "memory.swap.max", number_or(limits.swap_bytes, "max"), kSwap});
        return {};
    }
    if (limits.swap_bytes.value_or(0) > 0 && !hard)
        return fail(Status::bad_request,
                    "limits.memory.swap: a size needs a hard limits.memory on this host (cgroup v1)");
    if (shape.swap) out.push_back({"memory", "memory.memsw.limit_in_bytes", "-1", kSwap});
    if (shape.memory) {
        out.push_back({"memory", "memory.limit_in_bytes", number_or(hard, "-1"), kMemory});
        out.push_back({"memory", "memory.soft_limit_in_bytes", number_or(soft, "-1"), kMemory});
    }
    if (shape.swap) {
        const auto both = hard && limits.swap_bytes ? std::optional(*hard + *limits.swap_bytes) : none;
        out.push_back({"memory", "memory.memsw.limit_in_bytes", number_or(both, "-1"), kSwap});
    }
    return {};
}

/// How readily the group's memory is swapped out; v1 only. Without any swap it is not at all.
Result<> add_swappiness(Settings& out, const sys::Cgroups& cgroups, LimitHome home, const Limits& limits,
                        const Shape& shape) {
    if (home == LimitHome::v2 && limits.swappiness)
        return fail(Status::bad_request,
                    "limits.memory.swap.priority: this host's cgroup2 has no swappiness of single groups");
    if (home == LimitHome::v2 || (!shape.swappiness && !shape.swap)) return {};
    LX_TRY_AS(const std::string usual, cgroups.read_parent("memory", "memory.swappiness"));
    const bool never = limits.swap_bytes == std::optional<std::uint64_t>(0);
    const auto wanted = never ? std::optional<std::uint64_t>(0) : limits.swappiness;
    out.push_back({"memory", "memory.swappiness", number_or(wanted, trim(usual)),
                   shape.swappiness ? "limits.memory.swap.priority" : "limits.memory.swap"});
    return {};
}

void add_cpu(Settings& out, LimitHome home, const Limits& limits) {
    const std::uint64_t weight =
        std::clamp<std::uint64_t>(limits.cpu_weight.value_or(kDefaultWeight), 1, 10'000);
    const std::uint64_t period = limits.cpu_period_us.value_or(kDefaultPeriodUs);
    const std::string key = limits.cpu_handicap != 0 ? "limits.cpu.priority" : "limits.cpu.allowance";
    const auto less = [&](std::uint64_t value, std::uint64_t least) {
        return std::to_string(value > limits.cpu_handicap + least ? value - limits.cpu_handicap : least);
    };
    if (home == LimitHome::v1) {
        // 1024 shares are the default there, as weight 100 is in cgroup2.
        out.push_back({"cpu", "cpu.shares", less(weight * 1024 / 100, 2), key});
        out.push_back({"cpu", "cpu.cfs_period_us", std::to_string(period), key});
        out.push_back({"cpu", "cpu.cfs_quota_us", number_or(limits.cpu_quota_us, "-1"), key});
    } else {
        out.push_back({"cpu", "cpu.weight", less(weight, 1), key});
        out.push_back(
            {"cpu", "cpu.max", fmt::format("{} {}", number_or(limits.cpu_quota_us, "max"), period), key});
    }
}

/// A cpuset file: the numbers, or all that our parent has. By name: a group with processes cannot get an
/// empty set back (ENOSPC, seen on 6.1).
Result<> add_set(Settings& out, const sys::Cgroups& cgroups, LimitHome home, const char* file,
                 const std::optional<std::vector<int>>& numbers, const char* key) {
    if (numbers) {
        out.push_back({"cpuset", file, fmt::format("{}", fmt::join(*numbers, ",")), key});
        return {};
    }
    const std::string source = home == LimitHome::v1 ? file : fmt::format("{}.effective", file);
    LX_TRY_AS(const std::string all, cgroups.read_parent("cpuset", source));
    out.push_back({"cpuset", file, std::string(trim(all)), key, true});
    return {};
}

/// Which file there is depends on the kernel's I/O schedulers: BFQ, CFQ before Linux 5.0, or iocost.
Result<> add_disk(Settings& out, const sys::Cgroups& cgroups, const std::string& name, LimitHome home,
                  const Limits& limits) {
    const std::string_view controller = home == LimitHome::v1 ? "blkio" : "io";
    for (const std::string_view file : {"bfq.weight", "weight"}) {
        const std::string full = fmt::format("{}.{}", controller, file);
        if (!cgroups.read(name, controller, full)) continue;
        const unsigned priority = limits.disk_priority.value_or(5);
        const bool cfq = full == "blkio.weight";
        const unsigned weight = cfq ? std::max(priority * 100, 10U) : std::max(priority * 20, 4U);
        out.push_back({controller, full, std::to_string(weight), "limits.disk.priority"});
        return {};
    }
    if (!limits.disk_priority) return {};
    return fail(
        Status::bad_request,
        fmt::format("limits.disk.priority: this host's {} cgroups have no weights (its kernel has neither "
                    "BFQ nor iocost)",
                    controller));
}

/// Documentation/admin-guide/cgroup-v1/blkio-controller.rst (0 takes a rule away) and cgroup-v2.rst, io.max.
void add_disk_rates(Settings& out, LimitHome home, const Limits& limits, const Shape& shape) {
    constexpr const char* kKey = "limits.read, limits.write or limits.max";
    for (const std::string& disk : shape.disks) {
        const auto found = limits.disk_rates.find(disk);
        const DiskRates rates = found == limits.disk_rates.end() ? DiskRates{} : found->second;
        if (home == LimitHome::v2) {
            const std::string max = "max";
            out.push_back(
                {"io", "io.max",
                 fmt::format("{} rbps={} wbps={} riops={} wiops={}", disk, number_or(rates.read_bytes, max),
                             number_or(rates.write_bytes, max), number_or(rates.read_operations, max),
                             number_or(rates.write_operations, max)),
                 kKey});
            continue;
        }
        const auto add = [&](const char* what, const std::optional<std::uint64_t>& rate) {
            out.push_back({"blkio", fmt::format("blkio.throttle.{}_device", what),
                           fmt::format("{} {}", disk, number_or(rate, "0")), kKey});
        };
        add("read_bps", rates.read_bytes);
        add("read_iops", rates.read_operations);
        add("write_bps", rates.write_bytes);
        add("write_iops", rates.write_operations);
    }
}

void add_hugepages(Settings& out, LimitHome home, const Limits& limits, const Shape& shape) {
    for (const std::string& size : shape.pages) {
        const auto found = limits.hugepages.find(size);
        const auto bytes = found == limits.hugepages.end() ? std::nullopt : std::optional(found->second);
        const bool v1 = home == LimitHome::v1;
        out.push_back({"hugetlb", fmt::format("hugetlb.{}.{}", size, v1 ? "limit_in_bytes" : "max"),
                       number_or(bytes, v1 ? "-1" : "max"), "limits.hugepages." + size});
    }
}

bool wants_cpu(const Limits& limits) {
    return limits.cpu_weight || limits.cpu_quota_us || limits.cpu_handicap != 0;
}

/// Finds where a controller is. A limit that the host cannot enforce is an error, not a wish.
class Homes {
public:
    Homes(const sys::Cgroups& cgroups, const std::string& name) : cgroups_(cgroups), name_(name) {}
    Result<LimitHome> of(std::string_view controller, bool wanted, std::string_view key) const {
        LimitHome home = cgroups_.home(controller);
        if (home == LimitHome::v1 && !cgroups_.has_v1(name_, controller)) home = LimitHome::none;
        if (home != LimitHome::none || !wanted) return home;
        return fail(Status::bad_request,
                    fmt::format("{}: this host has no {} cgroup controller", key, controller));
    }

private:
    const sys::Cgroups& cgroups_;
    const std::string& name_;
};

Result<> add_cpuset(Settings& out, const sys::Cgroups& cgroups, const Homes& homes, const Limits& limits,
                    const Shape& shape) {
    if (!shape.cpus && !shape.nodes) return {};
    const char* const key = limits.memory_nodes ? "limits.cpu.nodes" : "limits.cpu";
    LX_TRY_AS(const LimitHome home, homes.of("cpuset", limits.cpus || limits.memory_nodes, key));
    if (home == LimitHome::none) return {};
    if (shape.cpus) LX_TRY(add_set(out, cgroups, home, "cpuset.cpus", limits.cpus, "limits.cpu"));
    if (shape.nodes)
        LX_TRY(add_set(out, cgroups, home, "cpuset.mems", limits.memory_nodes, "limits.cpu.nodes"));
    return {};
}

Result<> add_io(Settings& out, const sys::Cgroups& cgroups, const std::string& name, const Limits& limits,
                const Shape& shape) {
    const Homes homes(cgroups, name);
    if (shape.disk) {
        const bool v1 = cgroups.home("blkio") == LimitHome::v1;
        LX_TRY_AS(const LimitHome home,
                  homes.of(v1 ? "blkio" : "io", limits.disk_priority.has_value(), "limits.disk.priority"));
        if (home != LimitHome::none) LX_TRY(add_disk(out, cgroups, name, home, limits));
    }
    if (!shape.disks.empty()) {
        const bool v1 = cgroups.home("blkio") == LimitHome::v1;
        LX_TRY_AS(const LimitHome home,
                  homes.of(v1 ? "blkio" : "io", !limits.disk_rates.empty(), "limits.read"));
        if (home != LimitHome::none) add_disk_rates(out, home, limits, shape);
    }
    if (!shape.pages.empty()) {
        const std::string key = "limits.hugepages." + *shape.pages.begin();
        LX_TRY_AS(const LimitHome home, homes.of("hugetlb", !limits.hugepages.empty(), key));
        if (home != LimitHome::none) add_hugepages(out, home, limits, shape);
    }
    return {};
}

/// Everything to be written for these limits, where the container has (or is to have) the controller.
Result<Settings> settings_for(const sys::Cgroups& cgroups, const std::string& name, const Limits& limits,
                              const Shape& shape) {
    const Homes homes(cgroups, name);
    Settings out;
    if (shape.memory || shape.swap || shape.swappiness) {
        const char* const key = limits.memory_bytes ? "limits.memory" : "limits.memory.swap";
        const bool wanted = limits.memory_bytes || limits.swap_bytes || limits.swappiness;
        LX_TRY_AS(const LimitHome home, homes.of("memory", wanted, key));
        if (home != LimitHome::none) {
            LX_TRY(add_memory(out, home, limits, shape));
            LX_TRY(add_swappiness(out, cgroups, home, limits, shape));
        }
    }
    if (shape.processes) {
        LX_TRY_AS(const LimitHome home, homes.of("pids", limits.processes.has_value(), "limits.processes"));
        const auto count =
            limits.processes ? std::optional(*limits.processes + kSeatProcesses) : std::nullopt;
        if (home != LimitHome::none)
            out.push_back({"pids", "pids.max", number_or(count, "max"), "limits.processes"});
    }
    if (shape.cpu) {
        LX_TRY_AS(const LimitHome home, homes.of("cpu", wants_cpu(limits), "limits.cpu.allowance"));
        if (home != LimitHome::none) add_cpu(out, home, limits);
    }
    LX_TRY(add_cpuset(out, cgroups, homes, limits, shape));
    LX_TRY(add_io(out, cgroups, name, limits, shape));
    return out;
}

std::vector<std::string_view> needed_controllers(const Limits& limits) {
    std::vector<std::string_view> needed(std::begin(sys::Cgroups::kEverywhere),
                                         std::end(sys::Cgroups::kEverywhere));
    if (wants_cpu(limits)) needed.emplace_back("cpu");
    if (limits.cpus || limits.memory_nodes) needed.emplace_back("cpuset");
    if (limits.disk_priority || !limits.disk_rates.empty()) needed.emplace_back("blkio");
    if (!limits.hugepages.empty()) needed.emplace_back("hugetlb");
    return needed;
}

/// v1's limits of memory and of memory with swap depend on each other: when one differs, all are written.
std::vector<std::size_t> differing(const Settings& before, const Settings& after, bool swap) {
    bool memory = false;
    for (std::size_t i = 0; i < after.size(); ++i)
        memory |= swap && after[i].controller == "memory" && after[i] != before[i];
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < after.size(); ++i) {
        const bool differs =
            after[i].value != before[i].value || after[i].is_inherited != before[i].is_inherited;
        if (differs || (memory && after[i].controller == "memory")) out.push_back(i);
    }
    return out;
}

Result<> write_setting(const sys::Cgroups& cgroups, const std::string& name, const Setting& setting) {
    auto written = cgroups.write(name, setting.controller, setting.file, setting.value);
    if (written) return setting.file == kSoftV2 ? cgroups.pass_memory_low() : Result<>{};
    if (written.error().status == Status::not_found)
        return fail(Status::bad_request,
                    fmt::format("{}: this host's cgroups have no {}", setting.key, setting.file));
    return std::unexpected(in(setting.key, std::move(written).error()));
}

}  // namespace

bool stays_everywhere(const sys::Cgroups& cgroups, const Limits& limits) {
    constexpr std::size_t kCount = std::size(sys::Cgroups::kEverywhere);
    const auto needed = needed_controllers(limits);
    return std::none_of(needed.begin() + kCount, needed.end(), [&cgroups](std::string_view controller) {
        return cgroups.home(controller) == LimitHome::v1;
    });
}

Result<> prepare_limits(sys::Cgroups& cgroups, const std::string& name, const Limits& limits) {
    for (const std::string_view controller : needed_controllers(limits))
        LX_TRY(cgroups.create_v1(name, controller));
    Shape shape;
    shape.add(limits);
    LX_TRY_AS(const Settings wanted, settings_for(cgroups, name, limits, shape));
    // A new group has no limits: only what differs is worth a write.
    LX_TRY_AS(const Settings unlimited, settings_for(cgroups, name, Limits{}, shape));
    for (const std::size_t i : differing(unlimited, wanted, shape.swap))
        LX_TRY(write_setting(cgroups, name, wanted[i]));
    return {};
}

Result<bool> change_limits(sys::Cgroups& cgroups, const std::string& name, const Limits& old_limits,
                           const Limits& new_limits) {
    bool joined = false;
    for (const std::string_view controller : needed_controllers(new_limits)) {
        if (cgroups.home(controller) != LimitHome::v1 || cgroups.has_v1(name, controller)) continue;
        LX_TRY(cgroups.create_v1(name, controller));
        LX_TRY(cgroups.gather_v1(name, controller));
        joined = true;
    }
    Shape shape;
    shape.add(old_limits);
    shape.add(new_limits);
    LX_TRY_AS(const Settings before, settings_for(cgroups, name, old_limits, shape));
    LX_TRY_AS(const Settings after, settings_for(cgroups, name, new_limits, shape));
    const auto wanted = differing(before, after, shape.swap);
    for (std::size_t done = 0; done < wanted.size(); ++done) {
        auto written = write_setting(cgroups, name, after[wanted[done]]);
        if (written) continue;
        // In the same order: what is valid step by step one way is so the other way.
        for (const std::size_t i : wanted) (void)write_setting(cgroups, name, before[i]).has_value();
        return std::unexpected(std::move(written).error());
    }
    return joined;
}

Result<> reset_limits(sys::Cgroups& cgroups, const std::string& name, const Limits& limits) {
    Shape shape = Shape::all(cgroups, name);
    shape.add(limits);
    LX_TRY_AS(const Settings wanted, settings_for(cgroups, name, limits, shape));
    Result<> done;
    for (const Setting& setting : wanted) {
        const auto held = cgroups.read(name, setting.controller, setting.file);
        if (!held || trim(*held) == setting.value) continue;  // a file that is not there was never written
        if (auto written = write_setting(cgroups, name, setting); !written) done = std::move(written);
    }
    return done;
}

}  // namespace lxmgr::runtime
