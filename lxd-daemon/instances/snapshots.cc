#include "lxd-daemon/instances/snapshots.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/snapshot_keys.h"

namespace lxmgr::instances {
namespace {

database::SnapshotRecord snapshot_record_of(const database::InstanceRecord& instance) {
    database::SnapshotRecord out;
    out.instance_id = instance.id;
    out.description = instance.description;
    out.architecture = instance.architecture;
    out.ephemeral = instance.ephemeral;
    out.config = instance.config;
    out.devices = instance.devices;
    out.profiles = instance.profiles;
    out.last_used_at = instance.last_used_at;
    return out;
}

}  // namespace

std::string snapshot_url(const std::string& instance, const std::string& snapshot) {
    return fmt::format("{}/snapshots/{}", instance, snapshot);
}

Result<database::SnapshotPtr> require_snapshot(const Context& context, const std::string& instance,
                                               const std::string& snapshot) {
    LX_TRY_AS(const auto record, require(context, instance));
    auto found = context.deps.database.snapshots().find(record->id, snapshot);
    if (!found) return fail(Status::not_found, "Instance snapshot not found");
    return found;
}

api::InstanceSnapshot view(const Context& context, const database::SnapshotRecord& record) {
    database::InstanceRecord then;
    then.config = record.config;
    then.devices = record.devices;
    then.profiles = record.profiles;
    auto expanded = expand(context, then);
    api::InstanceSnapshot out;
    out.name = record.name;
    out.architecture = record.architecture;
    out.ephemeral = record.ephemeral;
    out.config = record.config;
    out.devices = record.devices;
    out.expanded_config = std::move(expanded.config);
    out.expanded_devices = std::move(expanded.devices);
    out.profiles = api::plain_names(record.profiles);
    out.created_at = record.created_at;
    out.last_used_at = record.last_used_at;
    out.expires_at = record.expires_at;
    out.size_bytes = record.size_bytes;
    return out;
}

Result<> validate_snapshot_name(const std::string& name) {
    const auto refuse = [&](const char* why) {
        return fail(Status::bad_request, fmt::format("Invalid snapshot name '{}': it {}", name, why));
    };
    if (name.empty()) return refuse("is empty");
    if (name.size() > 255) return refuse("is longer than 255 bytes");
    if (name == "." || name == "..") return refuse("must not be '.' or '..'");
    if (has_control_chars(name) || !is_utf8(name)) return refuse("holds control characters");
    if (name.find_first_of("/ ") != std::string::npos) return refuse("must not hold slashes or spaces");
    return {};
}

std::string next_snapshot_name(const Context& context, const database::InstanceRecord& record,
                               const ExpandedInstance& expanded) {
    std::string pattern = api::value_of(expanded.config, "snapshots.pattern");
    if (pattern.empty()) pattern = "snap%d";
    std::vector<std::string> taken;
    for (const auto& snapshot : context.deps.database.snapshots().list(record.id))
        taken.push_back(snapshot->name);
    return profiles::snapshot_name(pattern, now(), taken);
}

Result<> create_snapshot(Context& context, const std::string& instance,
                         const api::InstanceSnapshotsPost& post, const std::string& requestor,
                         profiles::SnapshotOrigin origin) {
    LX_TRY_AS(const auto record, require(context, instance));
    const auto expanded = expand(context, *record);
    auto& snapshots = context.deps.database.snapshots();
    auto row = snapshot_record_of(*record);
    row.name = post.name.empty() ? next_snapshot_name(context, *record, expanded) : post.name;
    LX_TRY(validate_snapshot_name(row.name));
    LX_TRY(check_snapshots_allowed(context, project_of(*record)));
    if (snapshots.find(record->id, row.name))
        return fail(Status::conflict, fmt::format("Snapshot \"{}/{}\" already exists", instance, row.name));
    row.created_at = now();
    if (post.expires_at) {
        row.expires_at = *post.expires_at;
    } else {
        LX_TRY_AS(row.expires_at, profiles::snapshot_expiry(expanded.config, origin, row.created_at));
    }
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record->pool));
    const auto volume = new_snapshot_volume();
    row.volume = volume.name;
    LX_TRY(in_room_for(fmt::format("snapshot '{}/{}'", instance, row.name),
                       copy_root(context, *record, *driver, volume)));
    Revert undo;
    undo.add([&] { delete_snapshot_volume(context, record->pool, volume.name); });
    failpoint("instances.snapshot.volume");
    if (const auto size = driver->usage_bytes(volume)) row.size_bytes = static_cast<std::int64_t>(*size);
    LX_TRY(snapshots.create(row));
    undo.commit();
    failpoint("instances.snapshot.row");
    context.snapshot_timer.poke();
    context.lifecycle("instance-snapshot-created", snapshot_url(instance, row.name), requestor, nullptr);
    return {};
}

Result<> delete_snapshot(Context& context, const std::string& instance, const std::string& snapshot,
                         const std::string& requestor) {
    LX_TRY_AS(const auto record, require(context, instance));
    LX_TRY_AS(const auto row, require_snapshot(context, instance, snapshot));
    LX_TRY(context.deps.database.snapshots().remove(record->id, snapshot));
    failpoint("instances.snapshot.delete.row");
    delete_snapshot_volume(context, record->pool, row->volume);
    failpoint("instances.snapshot.delete.volume");
    context.lifecycle("instance-snapshot-deleted", snapshot_url(instance, snapshot), requestor, nullptr);
    return {};
}

Result<> rename_snapshot(Context& context, const std::string& instance, const std::string& snapshot,
                         const std::string& new_name, const std::string& requestor) {
    LX_TRY_AS(const auto record, require(context, instance));
    LX_TRY(validate_snapshot_name(new_name));
    if (context.deps.database.snapshots().find(record->id, new_name))
        return fail(Status::conflict, fmt::format("Snapshot \"{}/{}\" already exists", instance, new_name));
    LX_TRY(require_snapshot(context, instance, snapshot));
    LX_TRY(context.deps.database.snapshots().rename(record->id, snapshot, new_name));
    context.lifecycle("instance-snapshot-renamed", snapshot_url(instance, new_name), requestor,
                      {{"old_name", snapshot}});
    return {};
}

Result<> update_snapshot(Context& context, const std::string& instance, const std::string& snapshot,
                         Time expires_at, const std::string& requestor) {
    LX_TRY_AS(const auto row, require_snapshot(context, instance, snapshot));
    database::SnapshotRecord next = *row;
    next.expires_at = expires_at;
    LX_TRY(context.deps.database.snapshots().update(next));
    context.snapshot_timer.poke();
    context.lifecycle("instance-snapshot-updated", snapshot_url(instance, snapshot), requestor, nullptr);
    return {};
}

}  // namespace lxmgr::instances
