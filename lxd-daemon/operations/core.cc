#include "lxd-daemon/operations/core.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::operations {
namespace {

constexpr std::chrono::seconds kRetention{5};
constexpr std::size_t kMaxUnfinished = 10000;

const char* class_name(Class kind) {
    switch (kind) {
        case Class::task:
            return "task";
        case Class::websocket:
            return "websocket";
        case Class::token:
            return "token";
    }
    return "";
}

std::string dump(const nlohmann::json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string resource_url(const std::string& kind, const std::string& name) {
    if (name.starts_with('/')) return api::public_url(name);
    std::string path = kind;
    std::ranges::replace(path, '_', '-');
    return api::public_url(fmt::format("/1.0/{}/{}", path, name));
}

/// LXD 5.0.2 lists instances under "containers" too, for clients older than the word instance.
nlohmann::json describe_resources(const Resources& resources) {
    if (resources.empty()) return nullptr;
    nlohmann::json out = nlohmann::json::object();
    for (const auto& [kind, names] : resources) {
        nlohmann::json urls = nlohmann::json::array();
        for (const auto& name : names) urls.push_back(resource_url(kind, name));
        if (kind == "instances") {
            nlohmann::json old_urls = nlohmann::json::array();
            for (const auto& name : names) {
                if (!name.starts_with('/')) old_urls.push_back(resource_url("containers", name));
            }
            out["containers"] = std::move(old_urls);
        }
        out[kind] = std::move(urls);
    }
    return out;
}

/// That of its first resource that tells one: new objects stand before what they are made of.
std::string project_of(const Resources& resources) {
    for (const auto& [kind, names] : resources) {
        for (const auto& name : names) {
            const auto found = api::split_url(name.starts_with('/') ? name : resource_url(kind, name));
            if (found.project != api::kDefaultProject) return found.project;
            if (kind == "instances" || kind == "storage_volumes") return found.project;
        }
    }
    return std::string(api::kDefaultProject);
}

void merge(nlohmann::json& metadata, const nlohmann::json& keys) {
    if (!keys.is_object()) return;
    if (!metadata.is_object()) metadata = nlohmann::json::object();
    for (const auto& [key, value] : keys.items()) metadata[key] = value;
}

Result<nlohmann::json> run_guarded(const Body& body, Operation& operation, const std::stop_token& stop) {
    try {
        return body(operation, stop);
    } catch (const std::exception& bug) {
        log::error("exception in an operation", {{"operation", operation.id()}, {"what", bug.what()}});
    } catch (...) {
        log::error("unknown exception in an operation", {{"operation", operation.id()}});
    }
    return fail(Status::internal, "Internal error, see the daemon's log");
}

}  // namespace

bool is_final_status(api::StatusCode status) { return status >= api::StatusCode::success; }

nlohmann::json describe(const Operation::State& state) {
    return {{"id", state.id},
            {"class", class_name(state.request.kind)},
            {"description", state.request.description},
            {"created_at", to_rfc3339(state.created_at)},
            {"updated_at", to_rfc3339(state.updated_at)},
            {"status", api::status_text(state.status)},
            {"status_code", static_cast<int>(state.status)},
            {"resources", describe_resources(state.request.resources)},
            {"metadata", state.metadata},
            {"may_cancel", state.request.may_cancel && !is_final_status(state.status)},
            {"err", state.err},
            {"location", "none"}};
}

namespace {

/// For those who listen to events of type `logging`, in LXD's words.
void tell(events::Hub& hub, const Operation::State& state, std::string_view message) {
    if (hub.idle(events::Kind::logging)) return;
    const std::array fields{log::Field{"class", class_name(state.request.kind)},
                            log::Field{"description", state.request.description},
                            log::Field{"operation", state.id}, log::Field{"project", state.request.project},
                            log::Field{"err", state.err}};
    events::publish_log_line(hub, log::Level::debug, message, fields.data(),
                             fields.size() - (state.err.empty() ? 1 : 0));
}

const char* end_of(api::StatusCode status) {
    if (status == api::StatusCode::success) return "Success for operation";
    return status == api::StatusCode::cancelled ? "Cancelled operation" : "Failure for operation";
}

}  // namespace

void Core::changed(Operation::State& state) {
    state.updated_at = now();
    if (hub.idle(events::Kind::operation)) return;
    hub.publish(events::Kind::operation, state.request.project, dump(describe(state)));
}

Result<OperationPtr> Core::start(Request request) {
    auto state = std::make_shared<Operation::State>();
    state->id = random_uuid();
    state->core = weak_from_this();
    state->metadata = std::move(request.metadata);
    if (request.project == api::kDefaultProject) request.project = project_of(request.resources);
    state->request = std::move(request);
    state->has_body = static_cast<bool>(state->request.body);
    state->created_at = state->updated_at = now();
    auto operation = std::make_shared<Operation>(state);
    const std::lock_guard state_lock(state->mutex);
    bool runs = !state->has_body;
    {
        const std::lock_guard lock(mutex);
        if (draining) return fail(Status::unavailable, "The daemon is shutting down");
        expire_locked(std::chrono::steady_clock::now());
        if (unfinished >= kMaxUnfinished) {
            return fail(Status::unavailable,
                        fmt::format("More than {} operations are pending", kMaxUnfinished));
        }
        ++unfinished;
        operations.emplace(state->id, operation);
        if (state->has_body) {
            ++bodies;
            enqueue(state);
            runs = holds_all_locks(state);
        }
    }
    changed(*state);
    tell(hub, *state, "New operation");
    if (!runs) return operation;
    // Said before the body can run, so that the answer to the client shows "Running" as LXD's does.
    state->status = api::StatusCode::running;
    changed(*state);
    tell(hub, *state, "Started operation");
    if (state->has_body) launch(state);
    return operation;
}

void Core::enqueue(const StatePtr& state) {
    auto& locks = state->request.locks;
    std::ranges::sort(locks);
    locks.erase(std::ranges::unique(locks).begin(), locks.end());
    for (const auto& lock : locks) queues[lock].push_back(state);
}

bool Core::holds_all_locks(const StatePtr& state) const {
    return std::ranges::all_of(state->request.locks,
                               [&](const std::string& lock) { return queues.at(lock).front() == state; });
}

/// Who holds all its locks now because this one left.
std::vector<StatePtr> Core::leave_queues(const StatePtr& state) {
    std::vector<StatePtr> heads;
    for (const auto& lock : state->request.locks) {
        const auto queue = queues.find(lock);
        if (queue == queues.end()) continue;
        const bool was_head = queue->second.front() == state;
        std::erase(queue->second, state);
        if (queue->second.empty()) {
            queues.erase(queue);
        } else if (was_head && std::ranges::find(heads, queue->second.front()) == heads.end()) {
            heads.push_back(queue->second.front());
        }
    }
    std::erase_if(heads, [&](const StatePtr& head) { return !holds_all_locks(head); });
    return heads;
}

void Core::launch(const StatePtr& state) {
    workers.post([self = shared_from_this(), state] { self->run_body(state); });
}

void Core::run_body(const StatePtr& state) {
    Body body;
    {
        const std::lock_guard lock(state->mutex);
        if (is_final_status(state->status)) return;
        body = std::exchange(state->request.body, nullptr);
    }
    Operation operation(state);
    const auto result = run_guarded(body, operation, state->stop.get_token());
    body = nullptr;  // what it holds (uploaded files) is gone when clients learn of the end
    if (result) return finish(state, {.status = api::StatusCode::success, .value = &*result});
    const auto status = state->stop.stop_requested() ? api::StatusCode::cancelled : api::StatusCode::failure;
    finish(state, {.status = status, .error = &result.error()});
}

void Core::finish(const StatePtr& state, const Outcome& outcome) {
    std::vector<std::function<void()>> callbacks;
    std::vector<StatePtr> next;
    // Destroyed after the locks are released: they may be the last owners of anything.
    Body body;
    std::function<void()> on_cancel;
    std::function<void()> notify;
    {
        const std::lock_guard state_lock(state->mutex);
        if (is_final_status(state->status)) return;
        if (outcome.only_pending && state->status != api::StatusCode::pending) return;
        if (outcome.value != nullptr) merge(state->metadata, *outcome.value);
        if (outcome.error != nullptr)
            state->err = api::with_plain_names(outcome.error->message, state->request.project);
        state->status = outcome.status;
        body = std::exchange(state->request.body, nullptr);
        on_cancel = std::exchange(state->request.on_cancel, nullptr);
        callbacks = std::exchange(state->final_callbacks, {});
        const std::lock_guard lock(mutex);
        changed(*state);
        tell(hub, *state, end_of(state->status));
        retained.emplace_back(std::chrono::steady_clock::now() + kRetention, state->id);
        notify = on_retained;
        next = leave_queues(state);
        --unfinished;
        if (state->has_body) --bodies;
        ended.notify_all();
    }
    run_next(next);
    for (const auto& callback : callbacks) callback();
    if (notify) notify();
}

void Core::run_next(const std::vector<StatePtr>& waiting) {
    for (const auto& state : waiting) {
        {
            const std::lock_guard state_lock(state->mutex);
            if (is_final_status(state->status))
                continue;  // cancelled meanwhile: it has left the queues by itself
            state->status = api::StatusCode::running;
            changed(*state);
            tell(hub, *state, "Started operation");
        }
        launch(state);
    }
}

void Core::expire_locked(SteadyTime time) {
    while (!retained.empty() && retained.front().first <= time) {
        operations.erase(retained.front().second);
        retained.pop_front();
    }
}

}  // namespace lxmgr::operations
