#pragma once
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "lxd-daemon/base/failpoint.h"

namespace lxmgr::instances {

/// Lets those who work on one name do so one after the other.
class NamedTurns {
public:
    class Turn {
    public:
        Turn(NamedTurns& turns, std::string name) : turns_(turns), name_(std::move(name)) {}
        Turn(Turn&&) = delete;
        ~Turn() { turns_.end(name_); }

    private:
        NamedTurns& turns_;
        std::string name_;
    };

    /// Waits until nobody else has the name.
    Turn take(const std::string& name) {
        failpoint("instances.turn.wanted");
        std::unique_lock lock(mutex_);
        ended_.wait(lock, [&] { return !taken_.contains(name); });
        taken_.insert(name);
        return {*this, name};
    }

private:
    void end(const std::string& name) {
        {
            const std::lock_guard lock(mutex_);
            taken_.erase(name);
        }
        ended_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable ended_;
    std::set<std::string> taken_;
};

}  // namespace lxmgr::instances
