#include "lxd-daemon/instances/limits.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/sysinfo.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

std::uint64_t total_memory_bytes() {
    struct sysinfo info{};
    return ::sysinfo(&info) == 0 ? std::uint64_t{info.totalram} * info.mem_unit : 0;
}

const std::string* value_of(const api::ConfigMap& config, const char* key) {
    const auto found = config.find(key);
    return found == config.end() || found->second.empty() ? nullptr : &found->second;
}

Result<> add_cpus(const std::string& instance, const std::string& text, CpuPlacement& placement,
                  runtime::Limits& limits) {
    LX_TRY_AS(const profiles::CpuLimit wanted, profiles::parse_cpu_limit(text));
    if (wanted.count > 0) {
        limits.cpus = placement.choose(instance, wanted.count);
        return {};
    }
    const auto usable = usable_cpus();
    for (const int cpu : wanted.pinned) {
        if (std::ranges::find(usable, cpu) == usable.end()) {
            return fail(Status::bad_request,
                        fmt::format("limits.cpu '{}': this machine has no CPU {}", text, cpu));
        }
    }
    placement.release(instance);
    limits.cpus = wanted.pinned;
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

std::vector<int> CpuPlacement::choose(const std::string& instance, int count) {
    const std::lock_guard lock(mutex_);
    if (const auto found = held_.find(instance); found != held_.end() && std::ssize(found->second) == count)
        return found->second;
    held_.erase(instance);
    std::map<int, int> users;
    for (const int cpu : usable_cpus()) users[cpu] = 0;
    for (const auto& [name, cpus] : held_) {
        for (const int cpu : cpus) ++users[cpu];
    }
    std::vector<std::pair<int, int>> order;
    for (const auto& [cpu, number] : users) order.emplace_back(number, cpu);
    std::ranges::sort(order);
    if (std::ssize(order) > count) order.resize(static_cast<std::size_t>(count));
    std::vector<int> chosen;
    for (const auto& [number, cpu] : order) chosen.push_back(cpu);
    std::ranges::sort(chosen);
    return held_[instance] = chosen;
}

void CpuPlacement::release(const std::string& instance) {
    const std::lock_guard lock(mutex_);
    held_.erase(instance);
}

Result<runtime::Limits> limits_of(const std::string& instance, const api::ConfigMap& expanded,
                                  CpuPlacement& placement) {
    runtime::Limits limits;
    if (const auto* memory = value_of(expanded, "limits.memory")) {
        LX_TRY_AS(limits.memory_bytes, profiles::parse_size(*memory, total_memory_bytes()));
        const auto* enforce = value_of(expanded, "limits.memory.enforce");
        limits.memory_soft = enforce != nullptr && *enforce == "soft";
    }
    if (const auto* processes = value_of(expanded, "limits.processes")) {
        limits.processes = parse_uint(*processes);
        if (!limits.processes)
            return fail(Status::bad_request,
                        fmt::format("limits.processes '{}' is not a number", *processes));
    }
    if (const auto* cpus = value_of(expanded, "limits.cpu")) {
        LX_TRY(add_cpus(instance, *cpus, placement, limits));
    } else {
        placement.release(instance);
    }
    if (const auto* allowance = value_of(expanded, "limits.cpu.allowance"))
        LX_TRY(add_allowance(*allowance, limits));
    return limits;
}

}  // namespace lxmgr::instances
