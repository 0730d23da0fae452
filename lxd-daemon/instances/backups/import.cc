#include <fmt/format.h>

#include <algorithm>

#include "images/backup_reader.h"
#include "images/metadata_json.h"
#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/backups/fill.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/copies.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/kept_addresses.h"
#include "lxd-daemon/instances/migration/steps.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

using nlohmann::json;

bool is_taken(const Context& context, const std::string& key, const std::string& value) {
    return std::ranges::any_of(context.rows().list(), [&](const database::InstancePtr& other) {
        return std::ranges::any_of(other->config, [&](const auto& entry) {
            const bool same_kind =
                key.ends_with(".hwaddr") ? entry.first.ends_with(".hwaddr") : entry.first == key;
            return same_kind && entry.second == value;
        });
    });
}

/// What instances and snapshots have in common.
template <typename Record>
Result<> read_common(const Context& context, const json& object, const std::string& what, Record& out) {
    api::ConfigMap config;
    api::Reader reader(object, what + ".");
    reader.text("architecture", out.architecture)
        .text("description", out.description)
        .flag("ephemeral", out.ephemeral)
        .map("config", config)
        .map("devices", out.devices)
        .list("profiles", out.profiles)
        .time("created_at", out.created_at);
    LX_TRY(reader.done());
    out.config = keys_to_keep(context, config);
    return {};
}

Result<std::vector<database::SnapshotRecord>> read_snapshots(const Context& context, const BackupIndex& index,
                                                             const std::string& project) {
    std::vector<database::SnapshotRecord> out;
    for (const auto& name : index.snapshots) {
        const json* object = object_named(index.config, "snapshots", name);
        if (object == nullptr)
            return fail(Status::bad_request,
                        fmt::format("The backup's index says nothing of snapshot '{}'", name));
        database::SnapshotRecord row;
        LX_TRY(read_common(context, *object, "snapshot", row));
        row.profiles = profiles_there(context, project, row.profiles);
        api::Reader reader(*object);
        LX_TRY(reader.time("expires_at", row.expires_at).done());
        LX_TRY(profiles::validate_instance_config(row.config, true));
        LX_TRY(profiles::validate_devices(row.devices, false));
        row.name = name;
        out.push_back(std::move(row));
    }
    return out;
}

std::unique_ptr<BackupVolumes> backup_volumes(const ImportPlan& plan, storage::Driver& driver,
                                              operations::Operation& operation, std::stop_token stop) {
    if (!plan.form.empty()) {
        StreamedVolumes::Source source{plan.upload.content, plan.ids};
        return std::make_unique<StreamedVolumes>(driver, std::move(source), operation, std::move(stop));
    }
    FilledVolumes::Source source{plan.upload.content, "backup/container", "/rootfs"};
    return std::make_unique<FilledVolumes>(driver, std::move(source), operation, std::move(stop));
}

/// Streams hold the ids that are on the disk of where they come from.
Result<> read_stored_ids(const json& object, const std::string& place, ImportPlan& plan) {
    api::ConfigMap config;
    api::Reader reader(object);
    LX_TRY(reader.map("config", config).done());
    LX_TRY_AS(plan.ids[place], source_idmap(config));
    return {};
}

/// Sets form and ids.
Result<> read_form(const BackupIndex& index, const json& instance, ImportPlan& plan) {
    plan.form = index.form;
    if (plan.form.empty()) return {};
    LX_TRY(read_stored_ids(instance, "backup/container", plan));
    for (const auto& name : index.snapshots) {
        const json* object = object_named(index.config, "snapshots", name);
        if (object != nullptr) LX_TRY(read_stored_ids(*object, "backup/snapshots/" + name, plan));
    }
    return {};
}

/// As asked for, else the one that it was in, else the default profile's.
std::string choose_pool(const Context& context, const BackupUpload& upload, const BackupIndex& index) {
    if (!upload.pool.empty()) return upload.pool;
    if (context.deps.database.pools().find(index.pool)) return index.pool;
    database::InstanceRecord plain;
    plain.profiles = profile_keys(context, upload.project, std::nullopt);
    const auto root = root_disk(expand(context, plain).devices);
    return root ? root->second : index.pool;
}

}  // namespace

api::ConfigMap keys_to_keep(const Context& context, const api::ConfigMap& config) {
    api::ConfigMap out;
    for (const auto& [key, value] : config) {
        const bool identity =
            key.ends_with(".hwaddr") || key == "volatile.uuid" || key == "volatile.cloud-init.instance-id";
        const bool kept = key == "volatile.base_image" || key == "volatile.apply_template";
        const bool wanted = identity ? !is_taken(context, key, value) : kept;
        if (!key.starts_with("volatile.") || wanted) out[key] = value;
    }
    return out;
}

void put_root_into(const Context& context, const std::string& pool, database::InstanceRecord& record) {
    for (const auto& [name, keys] : expand(context, record).devices) {
        if (api::value_of(keys, "type") != "disk" || api::value_of(keys, "path") != "/") continue;
        if (api::value_of(keys, "pool") == pool) return;
        record.devices[name] = keys;
        record.devices[name]["pool"] = pool;
        return;
    }
    record.devices["root"] = {{"type", "disk"}, {"path", "/"}, {"pool", pool}};
}

Result<> require_form(Context& context, const std::string& pool, const std::string& form) {
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(pool));
    auto* const streams = driver->streams();
    if (streams != nullptr && streams->form() == form) return {};
    return fail(
        Status::bad_request,
        fmt::format("The backup is optimized for storage driver '{}', which pool '{}' is not of: import it "
                    "into one that is, or export it without --optimized-storage",
                    form, pool));
}

Result<ImportPlan> plan_import(Context& context, const BackupUpload& upload) {
    LX_TRY_AS(const BackupIndex index, read_index(*upload.content, "container"));
    ImportPlan plan;
    plan.upload = upload;
    auto& record = plan.record;
    const json* instance = nullptr;
    for (const char* member : {"container", "instance"}) {
        if (index.config.contains(member) && index.config[member].is_object())
            instance = &index.config[member];
    }
    if (instance == nullptr)
        return fail(Status::bad_request, "The backup's index says nothing of its instance");
    LX_TRY(read_common(context, *instance, "instance", record));
    const std::string name = upload.name.empty() ? index.name : upload.name;
    LX_TRY(profiles::validate_instance_name(name));
    record.name = api::instance_key(upload.project, name);
    record.profiles = profile_keys(context, upload.project, record.profiles);
    LX_TRY(check_profiles(context, record.profiles));
    LX_TRY(profiles::validate_instance_config(record.config, true));
    LX_TRY(profiles::validate_devices(record.devices, false));
    if (record.architecture.empty()) record.architecture = "x86_64";
    if (record.created_at == Time{}) record.created_at = now();
    put_root_into(context, choose_pool(context, upload, index), record);
    LX_TRY(read_form(index, *instance, plan));
    LX_TRY(check_new_record(context, record));
    if (!plan.form.empty()) LX_TRY(require_form(context, record.pool, plan.form));
    const api::ConfigMap kept = record.config;
    add_volatile(record, api::value_of(kept, "volatile.base_image"), "");
    record.config.erase("volatile.apply_template");
    // What the image's templates make of the name is made anew.
    if (name != index.name) record.config["volatile.apply_template"] = "copy";
    for (const auto& [key, value] : kept) record.config[key] = value;
    const auto expanded = expand(context, record);
    LX_TRY(assign_idmap(context, expanded.config, record));  // a look whether it can be, as for creating
    LX_TRY(prepare_devices(context, expanded.devices, record));
    LX_TRY_AS(plan.snapshots, read_snapshots(context, index, upload.project));
    return plan;
}

Result<> import_instance(Context& context, const ImportPlan& plan, operations::Operation& operation,
                         std::stop_token stop) {
    auto& database = context.deps.database;
    database::InstanceRecord record = plan.record;
    const std::string& name = record.name;
    if (context.rows().find(name))
        return fail(Status::conflict, fmt::format("Instance \"{}\" already exists", name));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    LX_TRY_AS(const auto intent,
              database.intents().add("create-instance", {{"pool", record.pool}, {"name", name}}));
    Revert undo;
    undo.add([&] {
        if (auto removed = database.intents().remove(intent); !removed)
            log::error("intent left", {{"error", removed.error().message}});
    });
    const storage::Volume root = new_root(context, record);
    const auto volumes = backup_volumes(plan, *driver, operation, std::move(stop));
    volumes->add(root, "backup/container");
    auto snapshots = plan.snapshots;
    for (auto& snapshot : snapshots) {
        const auto volume = new_snapshot_volume();
        snapshot.volume = volume.name;
        follow_to_pool(context, snapshot, record.pool);
        undo.add(
            [&context, &record, name = volume.name] { delete_snapshot_volume(context, record.pool, name); });
        volumes->add(volume, "backup/snapshots/" + snapshot.name);
    }
    auto made = volumes->make();
    if (!made)
        LX_TRY(in_room_for(fmt::format("instance '{}'", name), std::unexpected(std::move(made).error())));
    const auto& metadata = *made;
    undo.add([&] {
        if (auto removed = driver->delete_volume(root); !removed)
            log::error("volume left", {{"instance", name}, {"error", removed.error().message}});
    });
    failpoint("instances.import.volumes");
    const auto expanded = expand(context, record);
    auto idmap_lock = lock_idmaps(context, expanded.config);
    LX_TRY(assign_idmap(context, expanded.config, record));
    record.config["volatile.idmap.current"] = record.config["volatile.idmap.next"];
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY_AS(record.metadata_id, database.metadata_sets().add(images::encode_metadata(metadata)));
        LX_TRY(check_in_project(context, record));
        LX_TRY_AS(const auto row, context.rows().create(record));
        for (auto& snapshot : snapshots) {
            snapshot.instance_id = row->id;
            LX_TRY(database.snapshots().create(snapshot));
        }
        return database.intents().remove(intent);
    });
    LX_TRY(stored);
    if (idmap_lock.owns_lock()) idmap_lock.unlock();
    undo.commit();
    failpoint("instances.import.row");
    settle_addresses(context, name);
    context.snapshot_timer.poke();
    context.lifecycle("instance-created", name, plan.requestor,
                      {{"type", "container"}, {"storage-pool", record.pool}});
    return {};
}

}  // namespace lxmgr::instances
