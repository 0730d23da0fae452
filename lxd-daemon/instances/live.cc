#include "lxd-daemon/instances/live.h"

#include <algorithm>

namespace lxmgr::instances {

api::StatusCode shown_status(const LiveState& state) {
    const bool ready = state.status == api::StatusCode::running && state.guest_ready;
    return ready ? api::StatusCode::ready : state.status;
}

Time ready_at(const LiveState& state) {
    const Time guest = state.guest_ready ? state.guest_ready_at : Time{};
    if (guest == Time{} || state.systemd_ready_at == Time{}) return std::max(guest, state.systemd_ready_at);
    return std::min(guest, state.systemd_ready_at);
}

LiveState LiveStates::get(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = states_.find(name);
    return found == states_.end() ? LiveState{} : found->second;
}

void LiveStates::starting(const std::string& name) {
    const std::lock_guard lock(mutex_);
    states_[name] = {};
    states_[name].status = api::StatusCode::starting;
    changed();
}

void LiveStates::started(const std::string& name, const runtime::Running& running,
                         const runtime::Limits& limits) {
    const std::lock_guard lock(mutex_);
    LiveState& state = states_[name];
    // The guest's word may overtake the end of our own start, or of our recovery.
    const LiveState said = state.status == api::StatusCode::starting ? state : LiveState{};
    const auto early = early_ready_.extract(name);
    const Time ready = std::max(said.systemd_ready_at, early ? early.mapped() : Time{});
    state = {};
    state.guest_ready = said.guest_ready;
    state.guest_ready_at = said.guest_ready_at;
    state.status = running.frozen ? api::StatusCode::frozen : api::StatusCode::running;
    state.init_pid = running.init_pid;
    state.started_at = Time(std::chrono::nanoseconds(running.started_at_ns));
    state.systemd_ready_at = std::max(ready, Time(std::chrono::nanoseconds(running.ready_at_ns)));
    state.limits = limits;
    state.runs = ++runs_[name];
    changed();
    wake_.notify_all();
}

void LiveStates::set_status(const std::string& name, api::StatusCode status) {
    const std::lock_guard lock(mutex_);
    if (const auto found = states_.find(name); found != states_.end()) found->second.status = status;
    changed();
}

void LiveStates::set_ready(const std::string& name, Time at) {
    const std::lock_guard lock(mutex_);
    const auto found = states_.find(name);
    (found == states_.end() ? early_ready_[name] : found->second.systemd_ready_at) = at;
}

void LiveStates::set_guest_ready(const std::string& name, bool ready, Time at) {
    const std::lock_guard lock(mutex_);
    if (const auto found = states_.find(name); found != states_.end()) {
        found->second.guest_ready = ready;
        found->second.guest_ready_at = at;
    }
    changed();
}

void LiveStates::set_limits(const std::string& name, const runtime::Limits& limits) {
    const std::lock_guard lock(mutex_);
    if (const auto found = states_.find(name); found != states_.end()) found->second.limits = limits;
}

void LiveStates::set_being_stopped(const std::string& name, bool value) {
    const std::lock_guard lock(mutex_);
    if (const auto found = states_.find(name); found != states_.end()) found->second.being_stopped = value;
}

void LiveStates::stopped(const std::string& name) {
    {
        const std::lock_guard lock(mutex_);
        states_.erase(name);
        early_ready_.erase(name);
        changed();
    }
    wake_.notify_all();
}

void LiveStates::wait_not_starting(const std::string& name) const {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] {
        const auto found = states_.find(name);
        return found == states_.end() || found->second.status != api::StatusCode::starting;
    });
}

bool LiveStates::wait_stopped(const std::string& name, std::optional<std::chrono::milliseconds> timeout,
                              const std::stop_token& stop) const {
    std::unique_lock lock(mutex_);
    const auto gone = [&] { return !states_.contains(name); };
    return timeout ? wake_.wait_for(lock, stop, *timeout, gone) : wake_.wait(lock, stop, gone);
}

}  // namespace lxmgr::instances
