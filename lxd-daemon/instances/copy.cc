#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/copies.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/kept_addresses.h"
#include "lxd-daemon/instances/names.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

/// The source at the time that is copied: the instance now, or one of its snapshots.
Result<database::InstanceRecord> source_record(const Context& context, const CopyPlan& plan) {
    LX_TRY_AS(const auto instance, require(context, plan.source));
    database::InstanceRecord out = *instance;
    if (plan.snapshot.empty()) return out;
    LX_TRY_AS(const auto snapshot, require_snapshot(context, plan.source, plan.snapshot));
    out.architecture = snapshot->architecture;
    out.config = snapshot->config;
    out.devices = snapshot->devices;
    out.profiles = snapshot->profiles;
    return out;
}

/// The new instance: the source's keys, devices and profiles unless the request has its own; a fresh
/// identity.
Result<> merge_source(Context& context, api::InstancesPost& post, const database::InstanceRecord& source,
                      database::InstanceRecord& record) {
    std::string base_image;
    for (const auto& [key, value] : source.config) {
        if (key == "volatile.base_image") base_image = value;
        if (!key.starts_with("volatile.")) post.config.emplace(key, value);
    }
    for (const auto& [name, device] : source.devices) post.devices.emplace(name, device);
    std::erase_if(post.config, [](const auto& entry) { return entry.first.starts_with("volatile."); });
    LX_TRY(profiles::validate_instance_config(post.config, true));
    LX_TRY(profiles::validate_devices(post.devices, false));
    record.profiles = profile_keys(context, post.in_project,
                                   post.profiles ? *post.profiles : api::plain_names(source.profiles));
    LX_TRY(check_profiles(context, record.profiles));
    record.architecture = source.architecture;
    record.metadata_id = source.metadata_id;
    record.config = std::move(post.config);
    record.devices = std::move(post.devices);
    LX_TRY(check_new_record(context, record));
    add_volatile(record, base_image, "copy");
    const auto expanded = expand(context, record);
    LX_TRY(assign_idmap(context, expanded.config, record));  // a look whether it can be, as for creating
    return prepare_devices(context, expanded.devices, record);
}

/// Where the content comes from.
Result<> copy_content(Context& context, const CopyPlan& plan, const Place& to) {
    LX_TRY_AS(const auto source, require(context, plan.source));
    if (plan.snapshot.empty()) return copy_root_to(context, *source, to);
    LX_TRY_AS(const auto snapshot, require_snapshot(context, plan.source, plan.snapshot));
    return copy_snapshot_volume(context, {source->pool, {storage::VolumeType::snapshot, snapshot->volume}},
                                to);
}

Result<> refuse_unsupported(const api::InstancesPost& post) {
    if (post.source.source.empty()) return fail(Status::bad_request, "The copy's source names no instance");
    if (!post.type.empty() && post.type != "container") {
        return fail(Status::bad_request,
                    fmt::format("Instance type '{}' is not supported: only containers", post.type));
    }
    if (post.stateful) return fail(Status::bad_request, "Stateful copies are not supported");
    return {};
}

}  // namespace

Result<CopyPlan> plan_copy(Context& context, api::InstancesPost post) {
    LX_TRY(refuse_unsupported(post));
    CopyPlan plan;
    const auto slash = post.source.source.find('/');
    const std::string& from = post.source.project.empty() ? post.in_project : post.source.project;
    plan.source = api::instance_key(from, post.source.source.substr(0, slash));
    if (slash != std::string::npos) plan.snapshot = post.source.source.substr(slash + 1);
    plan.with_snapshots = plan.snapshot.empty() && !post.source.instance_only;
    plan.start = post.start;
    LX_TRY_AS(const auto source, source_record(context, plan));
    auto& record = plan.record;
    const std::string name = post.name.empty() ? random_name() : post.name;
    LX_TRY(profiles::validate_instance_name(name));
    record.name = api::instance_key(post.in_project, name);
    if (post.source.refresh) {
        const auto target = context.rows().find(record.name);
        plan.refresh = target != nullptr;
        if (plan.refresh && record.name == plan.source)
            return fail(Status::bad_request, "An instance cannot be refreshed from itself");
        if (plan.refresh && context.live.get(record.name).status != api::StatusCode::stopped)
            return fail(Status::bad_request, "Cannot refresh a running instance");
        if (plan.refresh) return plan;
    }
    record.description = post.description;
    record.ephemeral = post.ephemeral;
    record.created_at = now();
    LX_TRY(merge_source(context, post, source, record));
    return plan;
}

Result<> copy_instance(Context& context, const CopyPlan& plan) {
    const auto& record = plan.record;
    auto& database = context.deps.database;
    if (context.rows().find(record.name))
        return fail(Status::conflict, fmt::format("Instance \"{}\" already exists", record.name));
    LX_TRY_AS(const auto source, require(context, plan.source));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    LX_TRY_AS(const auto intent,
              database.intents().add("create-instance", {{"pool", record.pool}, {"name", record.name}}));
    Revert undo;
    undo.add([&] {
        if (auto removed = database.intents().remove(intent); !removed)
            log::error("intent left", {{"error", removed.error().message}});
    });
    failpoint("instances.copy.intent");
    const Place root{record.pool, new_root(context, record)};
    LX_TRY(in_room_for(fmt::format("instance '{}'", record.name), copy_content(context, plan, root)));
    undo.add([&] {
        if (auto removed = driver->delete_volume(root.volume); !removed)
            log::error("volume left", {{"instance", record.name}, {"error", removed.error().message}});
    });
    failpoint("instances.copy.volume");
    NewSnapshots snapshots(context, record.pool);
    if (plan.with_snapshots) {
        for (const auto& snapshot : database.snapshots().list(source->id))
            LX_TRY(in_room_for(fmt::format("snapshot '{}/{}'", record.name, snapshot->name),
                               snapshots.add(source->pool, *snapshot, true)));
    }
    const auto expanded = expand(context, record);
    auto idmap_lock = lock_idmaps(context, expanded.config);
    database::InstanceRecord mapped = record;
    LX_TRY(assign_idmap(context, expanded.config, mapped));
    mapped.config["volatile.idmap.current"] = mapped.config["volatile.idmap.next"];
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(check_in_project(context, mapped));
        LX_TRY_AS(const auto row, context.rows().create(mapped));
        LX_TRY(snapshots.store(row->id));
        return database.intents().remove(intent);
    });
    LX_TRY(stored);
    if (idmap_lock.owns_lock()) idmap_lock.unlock();
    snapshots.keep();
    undo.commit();
    failpoint("instances.copy.row");
    if (!plan.start) settle_addresses(context, record.name);
    context.snapshot_timer.poke();
    context.lifecycle("instance-created", record.name, plan.requestor,
                      {{"type", "container"}, {"storage-pool", record.pool}});
    return plan.start ? start_instance(context, record.name, plan.requestor) : Result<>{};
}

Result<> refresh_instance(Context& context, const CopyPlan& plan) {
    const std::string& name = plan.record.name;
    auto& database = context.deps.database;
    LX_TRY_AS(const auto target, require(context, name));
    LX_TRY_AS(const auto source, require(context, plan.source));
    if (context.live.get(name).status != api::StatusCode::stopped)
        return fail(Status::bad_request, "Cannot refresh a running instance");
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(target->pool));
    const auto fresh = as_root(context, *target, new_snapshot_volume());
    LX_TRY(
        in_room_for(fmt::format("instance '{}'", name), copy_content(context, plan, {target->pool, fresh})));
    Revert undo;
    undo.add([&] { delete_snapshot_volume(context, target->pool, fresh.name); });
    NewSnapshots added(context, target->pool);
    std::vector<database::SnapshotPtr> gone;
    if (plan.with_snapshots) {
        const auto same = [](const database::SnapshotPtr& a, const database::SnapshotPtr& b) {
            return a && b && a->created_at == b->created_at;
        };
        for (const auto& old : database.snapshots().list(target->id)) {
            if (!same(old, database.snapshots().find(source->id, old->name))) gone.push_back(old);
        }
        for (const auto& wanted : database.snapshots().list(source->id)) {
            if (!same(wanted, database.snapshots().find(target->id, wanted->name)))
                LX_TRY(added.add(source->pool, *wanted, true));
        }
    }
    // Its root and its snapshots each are whole, whichever came first: a crash between needs no undoing.
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(context.rows().change_config(name, {{"volatile.apply_template", "copy"}}, true));
        for (const auto& old : gone) LX_TRY(database.snapshots().remove(target->id, old->name));
        return added.store(target->id);
    });
    LX_TRY(stored);
    added.keep();
    failpoint("instances.refresh.rows");
    for (const auto& old : gone) delete_snapshot_volume(context, target->pool, old->volume);
    LX_TRY(driver->swap_volumes({storage::VolumeType::container, name}, fresh));
    context.stopped_roots.forget(target->id);
    failpoint("instances.refresh.swapped");
    context.snapshot_timer.poke();
    context.lifecycle("instance-updated", name, plan.requestor, nullptr);
    return {};
}

}  // namespace lxmgr::instances
