#include "lxd-daemon/instances/snapshot_timer.h"

#include <algorithm>
#include <set>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/steps.h"
#include "lxd-daemon/instances/volumes/steps.h"
#include "profiles/config_keys.h"
#include "profiles/snapshot_keys.h"

namespace lxmgr::instances {
namespace {

constexpr std::chrono::minutes kRetry{1};

/// Most instances have no schedule: seen without merging anything.
bool may_have_schedule(const Context& context, const database::InstanceRecord& record) {
    if (record.config.contains("snapshots.schedule")) return true;
    return std::ranges::any_of(record.profiles, [&](const std::string& name) {
        const auto profile = context.deps.database.profiles().find(name);
        return profile && profile->config.contains("snapshots.schedule");
    });
}

void start_operation(Context& context, operations::Request request) {
    if (auto started = context.deps.operations.start(std::move(request)); !started)
        log::error("snapshot work not begun", {{"error", started.error().message}});
}

void snapshot_now(Context& context, const std::string& name) {
    auto request = request_for("Snapshotting instance", name, "");
    request.body = step([&context, name](const std::stop_token&) {
        return create_snapshot(context, name, {}, "", profiles::SnapshotOrigin::schedule);
    });
    start_operation(context, std::move(request));
}

void expire_snapshots(Context& context, const std::string& name, const std::string& snapshot) {
    auto request = request_for("Cleaning up expired instance snapshots", name, "");
    request.body = step([&context, name, snapshot](const std::stop_token&) -> Result<> {
        const auto row = require_snapshot(context, name, snapshot);
        // Renamed, deleted or given more time before this operation got the lock.
        if (!row || (*row)->expires_at == Time{} || (*row)->expires_at > now()) return {};
        return delete_snapshot(context, name, snapshot, "");
    });
    start_operation(context, std::move(request));
}

}  // namespace

SnapshotTimer::~SnapshotTimer() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
}

void SnapshotTimer::begin() {
    {
        const std::lock_guard lock(mutex_);
        begun_ = true;
        checked_ = now();
    }
    poke();
}

void SnapshotTimer::poke() {
    const std::lock_guard lock(mutex_);
    if (!begun_) return;
    poked_ = true;
    if (!running_) {
        running_ = true;
        thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }
    changed_.notify_all();
}

void SnapshotTimer::run(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
        poked_ = false;
        lock.unlock();
        const Time next = work(now());
        lock.lock();
        if (poked_) continue;
        if (next == Time{}) break;
        changed_.wait_until(lock, stop,
                            std::chrono::time_point_cast<std::chrono::system_clock::duration>(next),
                            [this] { return poked_; });
    }
    running_ = false;
}

Time SnapshotTimer::work(Time time) {
    Time next = make_scheduled_volume_snapshots(context_, checked_, time);
    next = earlier(next, make_scheduled(time));
    next = earlier(next, expire_backups(context_, time));
    next = earlier(next, look_after_images(context_, time, image_attempts_));
    next = earlier(next, expire_volume_snapshots(context_, time, volume_attempts_));
    return earlier(next, remove_expired(time));
}

Time SnapshotTimer::make_scheduled(Time time) {
    Time next{};
    for (const auto& record : context_.rows().list()) {
        if (!may_have_schedule(context_, *record)) continue;
        const auto config = expand(context_, *record).config;
        const std::string schedule = api::value_of(config, "snapshots.schedule");
        if (schedule.empty()) continue;
        const auto due = profiles::next_scheduled(schedule, checked_);
        const bool wanted = context_.live.get(record->name).status != api::StatusCode::stopped ||
                            profiles::parse_bool(api::value_of(config, "snapshots.schedule.stopped"));
        if (due && *due != Time{} && *due <= time && wanted) snapshot_now(context_, record->name);
        if (const auto later = profiles::next_scheduled(schedule, time)) next = earlier(next, *later);
    }
    checked_ = time;
    return next;
}

Time SnapshotTimer::remove_expired(Time time) {
    Time next{};
    std::map<std::int64_t, std::string> names;
    std::set<std::int64_t> present;
    for (const auto& snapshot : context_.deps.database.snapshots().list_all()) {
        if (snapshot->expires_at == Time{}) continue;
        present.insert(snapshot->id);
        const auto tried = attempts_.find(snapshot->id);
        const Time due = tried == attempts_.end() ? snapshot->expires_at
                                                  : std::max(snapshot->expires_at, tried->second + kRetry);
        if (due > time) {
            next = earlier(next, due);
            continue;
        }
        if (names.empty()) {
            for (const auto& record : context_.rows().list()) names[record->id] = record->name;
        }
        attempts_[snapshot->id] = time;
        next = earlier(next, time + kRetry);
        expire_snapshots(context_, names[snapshot->instance_id], snapshot->name);
    }
    std::erase_if(attempts_, [&](const auto& entry) { return !present.contains(entry.first); });
    return next;
}

}  // namespace lxmgr::instances
