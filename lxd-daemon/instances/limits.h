#pragma once
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::instances {

/// Which instance holds which CPUs, so that limits.cpu=N spreads instances over the machine. Thread-safe.
class CpuPlacement {
public:
    /// The `count` CPUs of this machine that fewest instances hold (lowest number first among equals); all of
    /// them when there are not so many. An instance that already holds as many keeps them.
    std::vector<int> choose(const std::string& instance, int count);
    void release(const std::string& instance);

private:
    std::mutex mutex_;
    std::map<std::string, std::vector<int>> held_;
};

/// limits.* of an expanded config in kernel terms. Errors: `bad_request` naming key and value.
Result<runtime::Limits> limits_of(const std::string& instance, const api::ConfigMap& expanded,
                                  CpuPlacement& placement);

/// CPUs this process may run on, in order (sched_getaffinity(2)).
std::vector<int> usable_cpus();

}  // namespace lxmgr::instances
