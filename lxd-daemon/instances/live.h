#pragma once
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/runtime/container.h"

namespace lxmgr::instances {

/// What is known of an instance only while this daemon runs.
struct LiveState {
    api::StatusCode status = api::StatusCode::stopped;
    pid_t init_pid = 0;
    Time started_at{};         ///< init was exec'd
    Time systemd_ready_at{};   ///< its systemd said READY=1; the epoch: not yet
    bool guest_ready = false;  ///< it has said so through /dev/lxd: LXD's status Ready
    Time guest_ready_at{};
    bool being_stopped =
        false;  ///< an operation of ours is ending it: a reboot from inside must not start it again
    runtime::Limits limits;  ///< in force in the kernel
    std::uint64_t runs = 0;  ///< grows with each start: tells one run from the next
};

/// When it first said, in either way, that it is ready; the epoch: not yet.
Time ready_at(const LiveState& state);
/// What clients are shown: a running instance that said so itself is Ready.
api::StatusCode shown_status(const LiveState& state);

/// The live states of all instances; absent means stopped. Thread-safe.
class LiveStates {
public:
    [[nodiscard]] LiveState get(const std::string& name) const;
    /// Grows with every change: lets readers keep derived data.
    [[nodiscard]] std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

    /// A start has begun: the instance counts as starting until started() or stopped().
    void starting(const std::string& name);
    void started(const std::string& name, const runtime::Running& running, const runtime::Limits& limits);
    void set_status(const std::string& name, api::StatusCode status);
    void set_ready(const std::string& name, Time at);
    void set_guest_ready(const std::string& name, bool ready, Time at);
    void set_limits(const std::string& name, const runtime::Limits& limits);
    void set_being_stopped(const std::string& name, bool value);
    /// Forgets the run: the instance is stopped, and waiters wake.
    void stopped(const std::string& name);

    /// Waits while a start is under way, so that the end of a run that ended at once is handled after its
    /// beginning.
    void wait_not_starting(const std::string& name) const;
    /// Waits until the instance is stopped; false when the time passed or `stop` was requested first.
    bool wait_stopped(const std::string& name, std::optional<std::chrono::milliseconds> timeout,
                      const std::stop_token& stop) const;

private:
    void changed() { generation_.fetch_add(1, std::memory_order_acq_rel); }
    mutable std::mutex mutex_;
    mutable std::condition_variable_any wake_;
    std::map<std::string, LiveState> states_;
    std::map<std::string, std::uint64_t> runs_;
    std::map<std::string, Time> early_ready_;  ///< said by those that are found running, before started()
    std::atomic<std::uint64_t> generation_{1};
};

}  // namespace lxmgr::instances
