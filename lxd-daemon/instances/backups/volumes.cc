#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "images/yaml_json.h"
#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/backups/fill.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/migration/steps.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/volume_size.h"
#include "lxd-daemon/instances/volumes/block.h"
#include "lxd-daemon/instances/volumes/steps.h"
#include "lxd-daemon/sys/path.h"
#include "profiles/config_keys.h"

/// Backups of custom volumes: backup/volume and backup/volume-snapshots/NAME are their trees, of block
/// volumes backup/volume.img and backup/volume-snapshots/NAME.img their contents.
namespace lxmgr::instances {
namespace {

using nlohmann::json;

json volume_index_of(const database::VolumeRecord& record,
                     const std::vector<database::VolumeSnapshotPtr>& snapshots) {
    json names = json::array(), rows = json::array();
    for (const auto& snapshot : snapshots) {
        names.push_back(snapshot->name);
        rows.push_back({{"name", snapshot->name},
                        {"description", snapshot->description},
                        {"config", snapshot->config},
                        {"content_type", record.content_type},
                        {"created_at", to_rfc3339(snapshot->created_at)},
                        {"expires_at", to_rfc3339(snapshot->expires_at)}});
    }
    const auto [project, name] = api::split_object_key(record.name);
    const json volume{{"name", name},
                      {"description", record.description},
                      {"type", "custom"},
                      {"content_type", record.content_type},
                      {"config", record.config},
                      {"used_by", json::array()},
                      {"location", "none"},
                      {"project", project},
                      {"created_at", to_rfc3339(record.created_at)}};
    return {{"name", name},        {"backend", "dir"},
            {"pool", record.pool}, {"snapshots", names},
            {"optimized", false},  {"optimized_header", false},
            {"type", "custom"},    {"config", {{"volume", volume}, {"volume_snapshots", rows}}}};
}

Result<> add_tree(storage::Driver& driver, const storage::Volume& volume, const std::string& path,
                  images::TarWriter& tar) {
    const sys::IdMap as_inside = sys::IdMap::host();
    LX_TRY_AS(const auto mounted, driver.mount(volume, {.idmap = &as_inside, .read_only = true}));
    const UniqueFd root(::openat(mounted.root.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) return fail_errno("Opening", path);
    return tar.add_tree(path, root.get());
}

Result<> add_content(storage::Driver& driver, const storage::Volume& volume, const std::string& path,
                     images::TarWriter& tar) {
    const sys::IdMap as_inside = sys::IdMap::host();
    LX_TRY_AS(const auto mounted, driver.mount(volume, {.idmap = &as_inside, .read_only = true}));
    LX_TRY_AS(const UniqueFd file, sys::open_no_symlinks(mounted.root.get(), kBlockFile, O_RDONLY));
    return tar.add_open_file(path + ".img", file.get());
}

/// The file of a block volume may be of another size than the backup says.
Result<> settle_block_size(storage::Driver& driver, const storage::Volume& volume,
                           database::VolumeRecord& record) {
    LX_TRY_AS(const auto bytes, block_bytes(driver, volume));
    if (bytes < block_size(record.config)) return grow_block(driver, volume, block_size(record.config));
    if (bytes > block_size(record.config)) record.config["size"] = std::to_string(bytes);
    return {};
}

/// The ids that the files of LXD's volume or snapshot have in the backup; its volatile.* keys go.
Result<sys::IdMap> take_stored_ids(api::ConfigMap& config) {
    LX_TRY_AS(auto ids,
              source_idmap({{"volatile.last_state.idmap", api::value_of(config, kVolumeIdmapKey)}}));
    drop_volatile(config);
    return ids;
}

}  // namespace

Result<> write_volume_backup(Context& context, const database::VolumeRecord& record, bool with_snapshots,
                             images::TarWriter& tar) {
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    std::vector<database::VolumeSnapshotPtr> snapshots;
    if (with_snapshots) snapshots = context.deps.database.volumes().snapshots(record.id);
    LX_TRY(tar.add_text("backup/index.yaml", images::json_to_yaml(volume_index_of(record, snapshots)), 0644));
    LX_TRY_AS(const NewDirectory moment,
              NewDirectory::begin(context, record.pool, snapshot_shape_of(record)));
    LX_TRY(copy_volume_now(context, record, moment.place()));
    failpoint("instances.volume.backup.moment");
    const auto add = is_block(record) ? add_content : add_tree;
    for (const auto& row : snapshots)
        LX_TRY(add(*driver, {storage::VolumeType::custom, row->volume},
                   "backup/volume-snapshots/" + row->name, tar));
    return add(*driver, moment.place().volume, "backup/volume", tar);
}

Result<VolumeImportPlan> plan_volume_import(Context& context, const BackupUpload& upload) {
    LX_TRY_AS(const BackupIndex index, read_index(*upload.content, "custom"));
    if (!index.form.empty())
        return fail(
            Status::bad_request,
            "The backup is in a storage driver's own form, which is read for instances only: export the "
            "volume without --optimized-storage");
    VolumeImportPlan plan;
    plan.upload = upload;
    plan.record.pool = upload.pool;
    const std::string wanted = upload.name.empty() ? index.name : upload.name;
    LX_TRY(profiles::validate_volume_name(wanted));
    plan.record.name = api::object_key(upload.project, wanted);
    if (!index.config.contains("volume") || !index.config["volume"].is_object())
        return fail(Status::bad_request, "The backup's index says nothing of its volume");
    auto& content = plan.record.content_type;
    api::Reader reader(index.config["volume"], "volume.");
    LX_TRY(reader.text("description", plan.record.description)
               .map("config", plan.record.config)
               .text("content_type", content)
               .done());
    if (content != "filesystem" && content != kBlockContent)
        return fail(Status::bad_request, fmt::format("Content type \"{}\" is not supported", content));
    const auto& pools = context.deps.pools;
    LX_TRY_AS(const auto stored_ids, take_stored_ids(plan.record.config));
    pools.drop_foreign_keys(plan.record.pool, plan.record.config);
    LX_TRY(pools.check_volume_config(plan.record.pool, plan.record.config));
    for (const auto& name : index.snapshots) {
        database::VolumeSnapshotRecord row;
        row.name = name;
        row.created_at = now();
        sys::IdMap snapshot_ids = stored_ids;
        if (const json* object = object_named(index.config, "volume_snapshots", name)) {
            api::Reader one(*object, "snapshot.");
            LX_TRY(one.text("description", row.description)
                       .map("config", row.config)
                       .time("expires_at", row.expires_at)
                       .done());
            LX_TRY_AS(snapshot_ids, take_stored_ids(row.config));
        }
        pools.drop_foreign_keys(plan.record.pool, row.config);
        plan.stored_ids.push_back(std::move(snapshot_ids));
        LX_TRY(profiles::validate_volume_config(row.config));
        plan.snapshots.push_back(std::move(row));
    }
    plan.stored_ids.insert(plan.stored_ids.begin(), stored_ids);
    if (context.deps.database.volumes().find(plan.record.pool, plan.record.name))
        return fail(Status::conflict, "Volume by that name already exists");
    return plan;
}

Result<> import_volume(Context& context, const VolumeImportPlan& plan, operations::Operation& operation,
                       std::stop_token stop) {
    auto& database = context.deps.database;
    database::VolumeRecord record = plan.record;
    if (database.volumes().find(record.pool, record.name))
        return fail(Status::conflict, "Volume by that name already exists");
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    std::vector<NewDirectory> directories;
    FilledVolumes volumes(*driver, {plan.upload.content, "", ""}, operation, std::move(stop));
    for (std::size_t i = 0; i <= plan.snapshots.size(); ++i) {
        const auto shape = directories.empty() ? shape_of(record) : snapshot_shape_of(record);
        LX_TRY_AS(NewDirectory fresh, NewDirectory::begin(context, record.pool, shape));
        const std::string place =
            i == 0 ? "backup/volume" : "backup/volume-snapshots/" + plan.snapshots[i - 1].name;
        if (is_block(record)) {
            volumes.add_content(fresh.place().volume, place, kBlockFile);
        } else {
            volumes.add_stored(fresh.place().volume, place, plan.stored_ids[i]);
        }
        directories.push_back(std::move(fresh));
    }
    if (auto made = volumes.make(); !made)
        LX_TRY(in_room_for(fmt::format("storage volume '{}'", record.name),
                           std::unexpected(std::move(made).error())));
    if (is_block(record)) LX_TRY(settle_block_size(*driver, directories.front().place().volume, record));
    failpoint("instances.volume.import.made");
    record.volume = directories.front().name();
    record.created_at = now();
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(check_in_project(context, record));
        LX_TRY_AS(const auto row, database.volumes().create(record));
        for (std::size_t i = 0; i < plan.snapshots.size(); ++i) {
            auto snapshot = plan.snapshots[i];
            snapshot.volume_id = row->id;
            snapshot.volume = directories[i + 1].name();
            LX_TRY(database.volumes().create_snapshot(snapshot));
        }
        for (auto& directory : directories) LX_TRY(directory.belongs_to_a_row());
        return {};
    });
    LX_TRY(stored);
    for (auto& directory : directories) directory.keep();
    failpoint("instances.volume.import.row");
    context.snapshot_timer.poke();
    volume_lifecycle(context, "storage-volume-created", volume_url({record.pool, record.name}),
                     plan.requestor, {{"type", "custom"}});
    return {};
}

}  // namespace lxmgr::instances
