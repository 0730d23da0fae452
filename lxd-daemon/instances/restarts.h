#pragma once
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <string>

namespace lxmgr::instances {

/// Bounds boot.autorestart: an instance that cannot run is not started for ever. Thread-safe.
class Restarts {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::size_t kMost = 10;
    static constexpr std::chrono::minutes kWithin{1};

    /// False when it was restarted kMost times in the last minute; else this is one time more.
    bool may_restart(const std::string& instance, Time now) {
        const std::lock_guard lock(mutex_);
        auto& times = times_[instance];
        while (!times.empty() && now - times.front() > kWithin) times.pop_front();
        if (times.size() >= kMost) return false;
        times.push_back(now);
        return true;
    }

private:
    std::mutex mutex_;
    std::map<std::string, std::deque<Time>> times_;
};

}  // namespace lxmgr::instances
