#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::events {
class Hub;
}

namespace lxmgr::operations {

class WorkerPool;
class Operation;
struct Core;  ///< what a registry shares with its operations, internal

enum class Class { task, websocket, token };

/// "instances" -> names, shown as resources {"instances": ["/1.0/instances/NAME"]} (and "containers" beside
/// it). Words of a kind are joined by '_' ("storage_pools" -> /1.0/storage-pools/NAME); a value that starts
/// with '/' is a URL. Keys of objects (api/project_keys.h) are shown as their names.
using Resources = std::map<std::string, std::vector<std::string>>;

/// Blocking body of an operation; runs on the worker pool. What it returns is merged into the metadata.
using Body = std::function<Result<nlohmann::json>(Operation& operation, std::stop_token stop)>;

struct Request {
    Class kind = Class::task;
    std::string description;  ///< LXD's words: "Creating instance", "Starting instance", ...
    Resources resources;
    nlohmann::json metadata;  ///< initial; null for none
    bool may_cancel = false;
    Body body;  ///< empty for websocket and token operations: their owner calls finish()
    std::vector<std::string>
        locks;  ///< bodies that share a lock string run one after the other, in order of arrival
    std::function<void()> on_cancel;  ///< for operations without a body
    std::string requestor;            ///< for lifecycle events: JSON text of the requestor object
    /// Who may see it; "default" also means that of its resources, empty the server.
    std::string project = "default";
};

/// A piece of background work as /1.0/operations shows it. Thread-safe.
class Operation {
public:
    [[nodiscard]] const std::string& id() const { return id_; }
    /// The operation object of the wire (client-wire-notes, section 1).
    [[nodiscard]] nlohmann::json to_json() const;
    [[nodiscard]] api::StatusCode status() const;
    [[nodiscard]] bool is_final() const;
    [[nodiscard]] Class kind() const;
    /// Merges keys into metadata and publishes an event. Use "<what>_progress" keys for text that clients
    /// show.
    void update_metadata(const nlohmann::json& keys);
    /// For operations without a body: the final state; a value is merged into the metadata. The first call
    /// wins.
    void finish(const Result<nlohmann::json>& outcome);
    /// Asks it to stop: one that still waits for its locks, or has no body, is Cancelled at once; a running
    /// body sees its stop token and ends as Cancelled when it fails. Errors: `bad_request` when it cannot be
    /// cancelled.
    Result<> cancel();
    /// As cancel(), whether clients may or not: for what the daemon itself ends.
    void abort();
    /// Calls back once when the state is final (at once if it already is), on any thread.
    void on_final(std::function<void()> callback);
    [[nodiscard]] const std::string& requestor() const;
    /// Empty: it belongs to the server.
    [[nodiscard]] const std::string& project() const;

    struct State;
    explicit Operation(std::shared_ptr<State> state);

private:
    friend class Registry;
    friend struct Core;
    std::string id_;
    std::shared_ptr<State> state_;
};
using OperationPtr = std::shared_ptr<Operation>;

/// All operations of this daemon. A finished one stays readable for five seconds.
class Registry {
public:
    Registry(WorkerPool& workers, events::Hub& hub);
    ~Registry();
    Registry(Registry&&) = delete;
    /// Registers, publishes the Pending/Running events and starts the body. Errors: `unavailable` when
    /// shutting down or when too many operations are pending.
    Result<OperationPtr> start(Request request);
    [[nodiscard]] OperationPtr find(const std::string& id) const;  ///< null when unknown
    [[nodiscard]] std::vector<OperationPtr> list() const;          ///< oldest first
    /// Forgets what ended more than five seconds ago; also done by every start(), find() and list().
    /// @return when to call again; nullopt while nothing waits to be forgotten.
    std::optional<std::chrono::steady_clock::time_point> expire();
    /// Called (on any thread) when an operation became final and expire() has new work. One at a time; null
    /// for none.
    void on_retained(std::function<void()> callback);
    /// Refuses new operations and waits until those with a body have ended or the deadline passes (true: all
    /// ended). Bodies that wait for their locks are run too: their clients were told that the work was
    /// accepted.
    bool drain(std::chrono::steady_clock::time_point deadline);
    /// As Operation::abort() for all that have a body: those that wait for their locks are Cancelled, those
    /// that run end as soon as they see their stop token.
    void abort_bodies();
    /// Where bodies run.
    [[nodiscard]] WorkerPool& workers() const;

private:
    std::shared_ptr<Core> core_;
};

}  // namespace lxmgr::operations
