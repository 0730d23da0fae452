#pragma once
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

#include "lxd-daemon/sys/cgroup.h"

namespace lxmgr::runtime {

/// Calls Cgroups::warm() on a thread of its own, so that the wait for the kernel runs beside other work of a
/// start.
class Warmer {
public:
    explicit Warmer(const sys::Cgroups& cgroups)
        : thread_([this, &cgroups](std::stop_token stop) { run(stop, cgroups); }) {}
    void poke() {
        const std::lock_guard lock(mutex_);
        wanted_ = true;
        changed_.notify_one();
    }

    /// The kernel lets nobody else make or change cgroups now.
    bool busy() {
        const std::lock_guard lock(mutex_);
        return wanted_ || busy_;
    }

private:
    void run(const std::stop_token& stop, const sys::Cgroups& cgroups) {
        std::unique_lock lock(mutex_);
        while (changed_.wait(lock, stop, [this] { return wanted_; })) {
            wanted_ = false;
            busy_ = true;
            lock.unlock();
            cgroups.warm();
            lock.lock();
            busy_ = false;
        }
    }
    std::mutex mutex_;
    std::condition_variable_any changed_;
    bool wanted_ = false, busy_ = false;
    std::jthread thread_;  // last: it ends before what it uses
};

}  // namespace lxmgr::runtime
