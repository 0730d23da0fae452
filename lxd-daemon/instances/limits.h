#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::instances {

/// The host's memory.
std::uint64_t total_memory_bytes();

/// Which running instance holds which CPUs, so that limits.cpu=N spreads instances over the machine.
/// Thread-safe.
class CpuPlacement {
public:
    /// The `count` of the candidates that fewest instances hold (lowest number first among equals); all of
    /// them when there are not so many. An instance that already holds as many keeps them.
    std::vector<int> choose(const std::string& instance, int count, const std::vector<int>& candidates);
    /// CPUs that the user chose: counted when others are placed, and never changed.
    void pin(const std::string& instance, const std::vector<int>& cpus);
    void release(const std::string& instance);
    /// Puts back what the instance holds now, when the change that follows fails.
    [[nodiscard]] std::function<void()> undo(const std::string& instance);

    /// Placed instances for which there are CPUs that others hold less.
    [[nodiscard]] std::vector<std::string> improvable() const;
    /// Gives it those. nullopt: it has the best already.
    std::optional<std::vector<int>> improve(const std::string& instance);

private:
    struct Held {
        std::vector<int> cpus;
        std::vector<int> candidates;
        bool counted = false;  ///< placed by us
    };
    [[nodiscard]] std::vector<int> least_used(const std::string& but, int count,
                                              const std::vector<int>& candidates) const;
    /// How many others hold these, summed up.
    [[nodiscard]] int crowding(const std::string& but, const std::vector<int>& cpus) const;

    mutable std::mutex mutex_;
    std::map<std::string, Held> held_;
};

/// limits.* of an expanded config in kernel terms. Errors: `bad_request` naming key and value.
Result<runtime::Limits> limits_of(const std::string& instance, const api::ConfigMap& expanded,
                                  CpuPlacement& placement);

/// CPUs this process may run on, in order (sched_getaffinity(2)).
std::vector<int> usable_cpus();

}  // namespace lxmgr::instances
