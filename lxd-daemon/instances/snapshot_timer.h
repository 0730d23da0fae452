#pragma once
#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/instances/images/upkeep.h"

namespace lxmgr::instances {

struct Context;

/// The earlier of two times, of which the epoch is "never".
inline Time earlier(Time a, Time b) {
    if (a == Time{}) return b;
    return b == Time{} ? a : std::min(a, b);
}

/// Makes scheduled snapshots and removes expired ones; looks after images of servers, too. Its thread sleeps
/// until the next of them is due, looks again when it is told of a change, and exists only while something is
/// to come. Thread-safe.
class SnapshotTimer {
public:
    explicit SnapshotTimer(Context& context) : context_(context) {}
    ~SnapshotTimer();
    /// The daemon has recovered: from now on it works.
    void begin();
    /// A snapshot, an instance or a profile has changed.
    void poke();

private:
    void run(const std::stop_token& stop);
    /// Does what is due, and says when the next is; the epoch: nothing is to come.
    Time work(Time time);
    Time make_scheduled(Time time);
    Time remove_expired(Time time);

    Context& context_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    bool begun_ = false, running_ = false, poked_ = false;
    Time checked_{};  ///< schedules up to here are done
    std::map<std::int64_t, Time>
        attempts_;  ///< of removals, by snapshot id: a failed one is not tried at once again
    std::map<std::int64_t, Time> volume_attempts_;  ///< the same of volumes' snapshots
    ImageAttempts image_attempts_;
    std::jthread thread_;
};

}  // namespace lxmgr::instances
