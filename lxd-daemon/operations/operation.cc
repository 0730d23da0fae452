#include "lxd-daemon/operations/operation.h"

#include <algorithm>

#include "lxd-daemon/operations/core.h"

namespace lxmgr::operations {

Operation::Operation(std::shared_ptr<State> state) : id_(state->id), state_(std::move(state)) {}

nlohmann::json Operation::to_json() const {
    const std::lock_guard lock(state_->mutex);
    return describe(*state_);
}

api::StatusCode Operation::status() const {
    const std::lock_guard lock(state_->mutex);
    return state_->status;
}

bool Operation::is_final() const { return is_final_status(status()); }

Class Operation::kind() const { return state_->request.kind; }

const std::string& Operation::project() const { return state_->request.project; }

const std::string& Operation::requestor() const { return state_->request.requestor; }

void Operation::update_metadata(const nlohmann::json& keys) {
    const auto core = state_->core.lock();
    const std::lock_guard lock(state_->mutex);
    if (!core || !keys.is_object() || is_final_status(state_->status)) return;
    if (!state_->metadata.is_object()) state_->metadata = nlohmann::json::object();
    for (const auto& [key, value] : keys.items()) state_->metadata[key] = value;
    core->changed(*state_);
}

void Operation::finish(const Result<nlohmann::json>& outcome) {
    const auto core = state_->core.lock();
    if (!core) return;
    if (outcome) return core->finish(state_, {.status = api::StatusCode::success, .value = &*outcome});
    core->finish(state_, {.status = api::StatusCode::failure, .error = &outcome.error()});
}

Result<> Operation::cancel() {
    {
        const std::lock_guard lock(state_->mutex);
        if (is_final_status(state_->status))
            return fail(Status::bad_request, "The operation has already ended");
        if (!state_->request.may_cancel)
            return fail(Status::bad_request, "This operation can't be cancelled");
    }
    abort();
    return {};
}

void Operation::abort() {
    const auto core = state_->core.lock();
    if (!core) return;
    std::function<void()> on_cancel;
    bool at_once = false;
    {
        const std::lock_guard lock(state_->mutex);
        if (is_final_status(state_->status) || std::exchange(state_->cancel_asked, true)) return;
        on_cancel = state_->request.on_cancel;
        at_once = !state_->has_body || state_->status == api::StatusCode::pending;
        if (!at_once) {
            state_->status = api::StatusCode::cancelling;
            core->changed(*state_);
        }
    }
    // Outside the lock: stop callbacks and on_cancel may look at the operation.
    state_->stop.request_stop();
    if (on_cancel) on_cancel();
    // A body may have begun meanwhile: then its stop token tells it, and its locks stay held until it ends.
    if (at_once)
        core->finish(state_, {.status = api::StatusCode::cancelled, .only_pending = state_->has_body});
}

void Operation::on_final(std::function<void()> callback) {
    {
        const std::lock_guard lock(state_->mutex);
        if (!is_final_status(state_->status)) {
            state_->final_callbacks.push_back(std::move(callback));
            return;
        }
    }
    callback();
}

Registry::Registry(WorkerPool& workers, events::Hub& hub) : core_(std::make_shared<Core>(workers, hub)) {}

Registry::~Registry() = default;

Result<OperationPtr> Registry::start(Request request) { return core_->start(std::move(request)); }

OperationPtr Registry::find(const std::string& id) const {
    const std::lock_guard lock(core_->mutex);
    core_->expire_locked(std::chrono::steady_clock::now());
    const auto found = core_->operations.find(id);
    return found == core_->operations.end() ? nullptr : found->second;
}

std::vector<OperationPtr> Registry::list() const {
    std::vector<OperationPtr> all;
    {
        const std::lock_guard lock(core_->mutex);
        core_->expire_locked(std::chrono::steady_clock::now());
        for (const auto& [id, operation] : core_->operations) all.push_back(operation);
    }
    std::ranges::sort(all, {}, [](const OperationPtr& operation) {
        return std::pair(operation->state_->created_at, operation->id());
    });
    return all;
}

std::optional<std::chrono::steady_clock::time_point> Registry::expire() {
    const std::lock_guard lock(core_->mutex);
    core_->expire_locked(std::chrono::steady_clock::now());
    if (core_->retained.empty()) return std::nullopt;
    return core_->retained.front().first;
}

void Registry::on_retained(std::function<void()> callback) {
    const std::lock_guard lock(core_->mutex);
    core_->on_retained = std::move(callback);
}

WorkerPool& Registry::workers() const { return core_->workers; }

bool Registry::drain(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(core_->mutex);
    core_->draining = true;
    return core_->ended.wait_until(lock, deadline, [this] { return core_->bodies == 0; });
}

void Registry::abort_bodies() {
    // The last to come first: the end of one must not let another begin that waits for it.
    const auto all = list();
    for (auto operation = all.rbegin(); operation != all.rend(); ++operation) {
        if ((*operation)->state_->has_body) (*operation)->abort();
    }
}

}  // namespace lxmgr::operations
