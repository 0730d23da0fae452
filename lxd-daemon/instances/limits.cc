#include "lxd-daemon/instances/limits.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/sysinfo.h>

#include <algorithm>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {

std::uint64_t total_memory_bytes() {
    struct sysinfo info{};
    return ::sysinfo(&info) == 0 ? std::uint64_t{info.totalram} * info.mem_unit : 0;
}

namespace {

const std::string* set_value(const api::ConfigMap& config, const char* key) {
    const auto found = config.find(key);
    return found == config.end() || found->second.empty() ? nullptr : &found->second;
}

/// CPUs of NUMA nodes, /sys/devices/system/node. Errors: `bad_request` for a node that is not there.
Result<std::vector<int>> cpus_of_nodes(const std::string& text, const std::vector<int>& nodes) {
    std::vector<int> cpus;
    const auto usable = usable_cpus();
    for (const int node : nodes) {
        const auto list = read_file(fmt::format("/sys/devices/system/node/node{}/cpulist", node));
        if (!list)
            return fail(Status::bad_request,
                        fmt::format("limits.cpu.nodes '{}': this machine has no NUMA node {}", text, node));
        // A trailing comma makes a set of a single number, too.
        const auto parsed = profiles::parse_cpu_set(trim(*list));
        if (!parsed) continue;  // memory alone
        for (const int cpu : *parsed)
            if (std::ranges::find(usable, cpu) != usable.end()) cpus.push_back(cpu);
    }
    std::ranges::sort(cpus);
    return cpus;
}

Result<> add_cpus(const std::string& instance, const api::ConfigMap& expanded, CpuPlacement& placement,
                  runtime::Limits& limits) {
    std::vector<int> candidates = usable_cpus();
    if (const auto* nodes = set_value(expanded, "limits.cpu.nodes")) {
        LX_TRY_AS(limits.memory_nodes, profiles::parse_cpu_set(*nodes));
        LX_TRY_AS(candidates, cpus_of_nodes(*nodes, *limits.memory_nodes));
        if (candidates.empty())
            return fail(Status::bad_request,
                        fmt::format("limits.cpu.nodes '{}': there is no usable CPU", *nodes));
        limits.cpus = candidates;
    }
    const auto* const text = set_value(expanded, "limits.cpu");
    if (text == nullptr) {
        placement.release(instance);
        return {};
    }
    LX_TRY_AS(const profiles::CpuLimit wanted, profiles::parse_cpu_limit(*text));
    if (wanted.count > 0) {
        limits.cpus = placement.choose(instance, wanted.count, candidates);
        return {};
    }
    for (const int cpu : wanted.pinned) {
        if (std::ranges::find(candidates, cpu) == candidates.end()) {
            return fail(Status::bad_request,
                        fmt::format("limits.cpu '{}': this machine has no CPU {}{}", *text, cpu,
                                    limits.memory_nodes ? " in limits.cpu.nodes" : ""));
        }
    }
    placement.pin(instance, wanted.pinned);
    limits.cpus = wanted.pinned;
    return {};
}

/// limits.memory.swap and its priority.
Result<> add_swap(const api::ConfigMap& expanded, runtime::Limits& limits) {
    if (const auto* swap = set_value(expanded, "limits.memory.swap")) {
        const auto bytes = profiles::parse_size(*swap, total_memory_bytes());
        const bool word = *swap == "0" || *swap == "1" || !bytes;  // LXD's own: a bool
        if (!word) limits.swap_bytes = *bytes;
        if (word && !profiles::parse_bool(*swap)) limits.swap_bytes = 0;
    }
    // 60 is the kernel's usual swappiness, and LXD's for the highest priority.
    if (const auto* priority = set_value(expanded, "limits.memory.swap.priority"))
        limits.swappiness = 70 - parse_uint(*priority).value_or(10);
    return {};
}

void add_priorities(const api::ConfigMap& expanded, runtime::Limits& limits) {
    if (const auto* priority = set_value(expanded, "limits.memory.oom_priority"))
        limits.oom_score = static_cast<int>(parse_int(*priority).value_or(0));
    if (const auto* priority = set_value(expanded, "limits.cpu.priority"))
        limits.cpu_handicap = static_cast<unsigned>(10 - parse_uint(*priority).value_or(10));
    if (const auto* priority = set_value(expanded, "limits.disk.priority"))
        limits.disk_priority = static_cast<unsigned>(parse_uint(*priority).value_or(5));
}

Result<> add_hugepages(const api::ConfigMap& expanded, runtime::Limits& limits) {
    for (const std::string size : {"64KB", "1MB", "2MB", "1GB"}) {
        const auto* const text = set_value(expanded, ("limits.hugepages." + size).c_str());
        if (text == nullptr) continue;
        LX_TRY_AS(limits.hugepages[size], profiles::parse_size(*text));
    }
    return {};
}

Result<> add_allowance(const std::string& text, runtime::Limits& limits) {
    LX_TRY_AS(const profiles::CpuAllowance allowance, profiles::parse_cpu_allowance(text));
    if (allowance.percent > 0) {
        limits.cpu_weight = static_cast<std::uint64_t>(allowance.percent);
    } else {
        limits.cpu_quota_us = static_cast<std::uint64_t>(allowance.quota_us);
        limits.cpu_period_us = static_cast<std::uint64_t>(allowance.period_us);
    }
    return {};
}

}  // namespace

std::vector<int> usable_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> cpus;
    if (::sched_getaffinity(0, sizeof set, &set) != 0) return {0};
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
    }
    return cpus;
}

std::vector<int> CpuPlacement::least_used(const std::string& but, int count,
                                          const std::vector<int>& candidates) const {
    std::map<int, int> users;
    for (const int cpu : candidates) users[cpu] = 0;
    for (const auto& [name, held] : held_) {
        if (name == but) continue;
        for (const int cpu : held.cpus)
            if (const auto found = users.find(cpu); found != users.end()) ++found->second;
    }
    std::vector<std::pair<int, int>> order;
    for (const auto& [cpu, number] : users) order.emplace_back(number, cpu);
    std::ranges::sort(order);
    if (std::ssize(order) > count) order.resize(static_cast<std::size_t>(count));
    std::vector<int> chosen;
    for (const auto& [number, cpu] : order) chosen.push_back(cpu);
    std::ranges::sort(chosen);
    return chosen;
}

int CpuPlacement::crowding(const std::string& but, const std::vector<int>& cpus) const {
    int sum = 0;
    for (const auto& [name, held] : held_) {
        if (name == but) continue;
        for (const int cpu : held.cpus) sum += static_cast<int>(std::ranges::count(cpus, cpu));
    }
    return sum;
}

std::vector<int> CpuPlacement::choose(const std::string& instance, int count,
                                      const std::vector<int>& candidates) {
    const std::lock_guard lock(mutex_);
    const auto wanted = std::min(static_cast<std::ptrdiff_t>(count), std::ssize(candidates));
    if (const auto found = held_.find(instance); found != held_.end()) {
        const auto& held = found->second;
        const bool kept =
            held.counted && std::ssize(held.cpus) == wanted && std::ranges::includes(candidates, held.cpus);
        if (kept) return held.cpus;
    }
    auto chosen = least_used(instance, count, candidates);
    held_[instance] = {chosen, candidates, true};
    return chosen;
}

void CpuPlacement::pin(const std::string& instance, const std::vector<int>& cpus) {
    const std::lock_guard lock(mutex_);
    held_[instance] = {cpus, cpus, false};
}

std::optional<std::vector<int>> CpuPlacement::improve(const std::string& instance) {
    const std::lock_guard lock(mutex_);
    const auto found = held_.find(instance);
    if (found == held_.end() || !found->second.counted) return std::nullopt;
    auto& held = found->second;
    auto better = least_used(instance, static_cast<int>(held.cpus.size()), held.candidates);
    if (crowding(instance, better) >= crowding(instance, held.cpus)) return std::nullopt;
    held.cpus = better;
    return better;
}

std::vector<std::string> CpuPlacement::improvable() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, held] : held_) {
        if (!held.counted) continue;
        const auto better = least_used(name, static_cast<int>(held.cpus.size()), held.candidates);
        if (crowding(name, better) < crowding(name, held.cpus)) names.push_back(name);
    }
    return names;
}

void CpuPlacement::release(const std::string& instance) {
    const std::lock_guard lock(mutex_);
    held_.erase(instance);
}

std::function<void()> CpuPlacement::undo(const std::string& instance) {
    const std::lock_guard lock(mutex_);
    const auto found = held_.find(instance);
    return
        [this, instance, held = found == held_.end() ? std::optional<Held>() : std::optional(found->second)] {
            const std::lock_guard relock(mutex_);
            held_.erase(instance);
            if (held) held_[instance] = *held;
        };
}

Result<runtime::Limits> limits_of(const std::string& instance, const api::ConfigMap& expanded,
                                  CpuPlacement& placement) {
    runtime::Limits limits;
    if (const auto* memory = set_value(expanded, "limits.memory")) {
        LX_TRY_AS(limits.memory_bytes, profiles::parse_size(*memory, total_memory_bytes()));
        const auto* enforce = set_value(expanded, "limits.memory.enforce");
        limits.memory_soft = enforce != nullptr && *enforce == "soft";
    }
    if (const auto* processes = set_value(expanded, "limits.processes")) {
        limits.processes = parse_uint(*processes);
        if (!limits.processes)
            return fail(Status::bad_request,
                        fmt::format("limits.processes '{}' is not a number", *processes));
    }
    LX_TRY(add_swap(expanded, limits));
    LX_TRY(add_cpus(instance, expanded, placement, limits));
    LX_TRY(add_hugepages(expanded, limits));
    add_priorities(expanded, limits);
    if (const auto* allowance = set_value(expanded, "limits.cpu.allowance"))
        LX_TRY(add_allowance(*allowance, limits));
    return limits;
}

}  // namespace lxmgr::instances
