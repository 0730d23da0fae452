#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/operations/worker_pool.h"

/// Inside of the operations room. Lock order: Operation::State::mutex before Core::mutex before the hub's.
namespace lxmgr::operations {

using SteadyTime = std::chrono::steady_clock::time_point;

struct Operation::State {
    std::string id;
    Request request;  ///< on_cancel is dropped when final, the body when it begins to run
    bool has_body = false;
    std::weak_ptr<Core> core;

    mutable std::mutex
        mutex;  ///< held while an event is published, so that events come in the order of changes
    api::StatusCode status = api::StatusCode::pending;
    nlohmann::json metadata;
    std::string err;
    Time created_at{}, updated_at{};
    std::stop_source stop;
    bool cancel_asked = false;
    std::vector<std::function<void()>> final_callbacks;
};

using StatePtr = std::shared_ptr<Operation::State>;

bool is_final_status(api::StatusCode status);
nlohmann::json describe(const Operation::State& state);  ///< caller holds the state's mutex

/// What a Registry shares with its operations: they may outlive it in the hands of others.
struct Core : std::enable_shared_from_this<Core> {
    Core(WorkerPool& pool, events::Hub& event_hub) : workers(pool), hub(event_hub) {}
    WorkerPool& workers;
    events::Hub& hub;

    mutable std::mutex mutex;
    std::condition_variable ended;
    std::unordered_map<std::string, OperationPtr> operations;
    std::deque<std::pair<SteadyTime, std::string>>
        retained;  ///< final ones and when to forget them, in order
    std::unordered_map<std::string, std::deque<StatePtr>> queues;  ///< lock -> holder first, then who waits
    std::size_t unfinished = 0;
    std::size_t bodies = 0;  ///< unfinished operations that have a body
    bool draining = false;
    std::function<void()> on_retained;

    Result<OperationPtr> start(Request request);
    /// Stamps and publishes a change; caller holds the state's mutex.
    void changed(Operation::State& state);
    /// Runs the body on the pool.
    void launch(const StatePtr& state);
    void run_body(const StatePtr& state);
    struct Outcome {
        api::StatusCode status;
        const Error* error = nullptr;
        const nlohmann::json* value = nullptr;  ///< merged into the metadata
        bool only_pending = false;              ///< not when it has begun to run
    };
    /// Makes it final unless it already is; frees its locks and starts who waited for them.
    void finish(const StatePtr& state, const Outcome& outcome);
    void expire_locked(SteadyTime time);

private:
    void enqueue(const StatePtr& state);
    [[nodiscard]] bool holds_all_locks(const StatePtr& state) const;
    std::vector<StatePtr> leave_queues(const StatePtr& state);
    void run_next(const std::vector<StatePtr>& waiting);
};

}  // namespace lxmgr::operations
