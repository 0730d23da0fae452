#include <algorithm>
#include <set>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/snapshot_timer.h"
#include "lxd-daemon/instances/steps.h"
#include "lxd-daemon/instances/volumes/steps.h"
#include "profiles/snapshot_keys.h"

namespace lxmgr::instances {
namespace {

constexpr std::chrono::minutes kVolumeRetry{1};

void start_volume_operation(Context& context, operations::Request request) {
    if (auto started = context.deps.operations.start(std::move(request)); !started)
        log::error("volume snapshot work not begun", {{"error", started.error().message}});
}

void volume_snapshot_now(Context& context, const VolumeName& name) {
    auto request = volume_request(context, "Creating storage volume snapshot", name, "", true);
    request.body = step([&context, name](const std::stop_token&) {
        return create_volume_snapshot(context, name, {}, "", profiles::SnapshotOrigin::schedule);
    });
    start_volume_operation(context, std::move(request));
}

void expire_volume_snapshots(Context& context, const VolumeName& name, const std::string& snapshot) {
    auto request = volume_request(context, "Cleaning up expired custom volume snapshots", name, "", false);
    request.body = step([&context, name, snapshot](const std::stop_token&) -> Result<> {
        const auto row = require_volume_snapshot(context, name, snapshot);
        // Renamed, deleted or given more time before this operation got the lock.
        if (!row || (*row)->expires_at == Time{} || (*row)->expires_at > now()) return {};
        return delete_volume_snapshot(context, name, snapshot, "");
    });
    start_volume_operation(context, std::move(request));
}

}  // namespace

Time make_scheduled_volume_snapshots(Context& context, Time checked, Time time) {
    Time next{};
    for (const auto& volume : context.deps.database.volumes().list_all()) {
        const auto schedule = volume->config.find("snapshots.schedule");
        if (schedule == volume->config.end() || schedule->second.empty()) continue;
        const auto due = profiles::next_scheduled(schedule->second, checked);
        if (due && *due != Time{} && *due <= time) volume_snapshot_now(context, {volume->pool, volume->name});
        if (const auto later = profiles::next_scheduled(schedule->second, time)) next = earlier(next, *later);
    }
    return next;
}

Time expire_volume_snapshots(Context& context, Time time, std::map<std::int64_t, Time>& attempts) {
    Time next{};
    std::set<std::int64_t> present;
    for (const auto& snapshot : context.deps.database.volumes().all_snapshots()) {
        if (snapshot->expires_at == Time{}) continue;
        present.insert(snapshot->id);
        const auto tried = attempts.find(snapshot->id);
        const Time due = tried == attempts.end()
                             ? snapshot->expires_at
                             : std::max(snapshot->expires_at, tried->second + kVolumeRetry);
        if (due > time) {
            next = earlier(next, due);
            continue;
        }
        const auto volume = context.deps.database.volumes().find_id(snapshot->volume_id);
        if (!volume) continue;
        attempts[snapshot->id] = time;
        next = earlier(next, time + kVolumeRetry);
        expire_volume_snapshots(context, {volume->pool, volume->name}, snapshot->name);
    }
    std::erase_if(attempts, [&](const auto& entry) { return !present.contains(entry.first); });
    return next;
}

}  // namespace lxmgr::instances
