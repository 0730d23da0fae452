#include "lxd-daemon/instances/volumes/steps.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "lxd-daemon/api/event.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/settings.h"
#include "lxd-daemon/instances/volume_size.h"
#include "lxd-daemon/instances/volumes/block.h"
#include "lxd-daemon/instances/volumes/users.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {

std::string volume_url(const VolumeName& name) {
    return fmt::format("/1.0/storage-pools/{}/volumes/custom/{}", url_encode(name.pool),
                       url_encode(name.name));
}
std::string volume_snapshot_url(const VolumeName& name, const std::string& snapshot) {
    return fmt::format("{}/snapshots/{}", volume_url(name), url_encode(snapshot));
}

Result<database::VolumePtr> require_volume(const Context& context, const VolumeName& name) {
    auto found = context.deps.database.volumes().find(name.pool, name.name);
    if (!found) return fail(Status::not_found, "Storage volume not found");
    return found;
}

Result<database::VolumeSnapshotPtr> require_volume_snapshot(const Context& context, const VolumeName& name,
                                                            const std::string& snapshot) {
    LX_TRY_AS(const auto volume, require_volume(context, name));
    auto found = context.deps.database.volumes().find_snapshot(volume->id, snapshot);
    if (!found) return fail(Status::not_found, "Storage volume snapshot not found");
    return found;
}

void drop_volatile(api::ConfigMap& config) {
    std::erase_if(config, [](const auto& entry) { return entry.first.starts_with("volatile."); });
}

void volume_lifecycle(const Context& context, const std::string& action, const std::string& url,
                      const std::string& requestor, const nlohmann::json& more) {
    auto& hub = context.deps.events;
    if (hub.idle(events::Kind::lifecycle)) return;
    const auto shown = api::split_url(url);
    hub.publish(events::Kind::lifecycle, shown.project,
                api::to_json_text({action, shown.url, requestor}, more));
}

namespace {

/// What is in a new volume. As LXD's where nothing is said: who may enter is for the owner inside to say.
Result<> begin_root(const database::VolumeRecord& record, int root_fd) {
    const auto number = [&record](const char* key, int base) {
        return static_cast<std::uint32_t>(
            std::strtoul(api::value_of(record.config, key, "0").c_str(), nullptr, base));
    };
    if (is_block(record)) {
        if (::fchmod(root_fd, 0711) != 0) return fail_errno("chmod", "the volume's root");
        return block_filler(block_size(record.config))(root_fd);
    }
    if (::fchown(root_fd, number("initial.uid", 10), number("initial.gid", 10)) != 0)
        return fail_errno("chown", "the volume's root");
    const mode_t mode = record.config.contains("initial.mode") ? number("initial.mode", 8) : 0711;
    if (::fchmod(root_fd, mode) != 0) return fail_errno("chmod", "the volume's root");
    return {};
}

}  // namespace

Result<> create_volume(Context& context, database::VolumeRecord record, const std::string& requestor) {
    auto& database = context.deps.database;
    const VolumeName name{record.pool, record.name};
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    if (database.volumes().find(record.pool, record.name))
        return fail(Status::conflict, "Volume by that name already exists");
    LX_TRY_AS(NewDirectory fresh, NewDirectory::begin(context, record.pool, shape_of(record)));
    LX_TRY(driver->create_volume(fresh.place().volume,
                                 [&record](int root_fd) { return begin_root(record, root_fd); }));
    failpoint("instances.volume.create.made");
    record.volume = fresh.name();
    record.created_at = now();
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(check_in_project(context, record));
        LX_TRY(database.volumes().create(record));
        return fresh.belongs_to_a_row();
    });
    LX_TRY(stored);
    fresh.keep();
    failpoint("instances.volume.create.row");
    context.snapshot_timer.poke();
    volume_lifecycle(context, "storage-volume-created", volume_url(name), requestor, {{"type", "custom"}});
    return {};
}

Result<> update_volume(Context& context, const VolumeName& name, const api::StorageVolumePut& put,
                       const std::string& requestor) {
    LX_TRY_AS(const auto row, require_volume(context, name));
    LX_TRY(context.deps.pools.check_volume_config(name.pool, put.config));
    for (const char* fixed : {"block.filesystem", "initial.gid", "initial.mode", "initial.uid", "lvm.stripes",
                              "lvm.stripes.size"}) {
        if (api::value_of(put.config, fixed) != api::value_of(row->config, fixed))
            return fail(Status::bad_request, fmt::format("{} cannot be changed", fixed));
    }
    LX_TRY(check_content_keys(row->content_type, put.config));
    const auto users = context.volume_mounts.instances(row->id);
    const bool remapped =
        flag_of(put.config, "security.unmapped") != flag_of(row->config, "security.unmapped");
    if (remapped && !users.empty())
        return fail(
            Status::bad_request,
            fmt::format("security.unmapped cannot be changed while running instances use the volume: {}",
                        fmt::join(users, ", ")));
    database::VolumeRecord next = *row;
    next.description = put.description;
    next.config = put.config;
    LX_TRY(check_in_project(context, next));
    LX_TRY(resize_custom(context, *row, next));
    context.snapshot_timer.poke();
    volume_lifecycle(context, "storage-volume-updated", volume_url(name), requestor);
    return {};
}

Result<> delete_volume(Context& context, const VolumeName& name, const std::string& requestor) {
    auto& database = context.deps.database;
    LX_TRY_AS(const auto row, require_volume(context, name));
    LX_TRY_AS(const auto hold, context.volume_mounts.hold(row->id));
    const auto backups = database.backups().list(0, row->id);
    DoomedDirectories doomed(context);
    const auto stored = database.transaction([&]() -> Result<> {
        if (!VolumeUserIndex(database).of(name.pool, name.name).empty())
            return fail(Status::bad_request, "The storage volume is still in use");
        LX_TRY(doomed.doom(name.pool, row->volume));
        for (const auto& snapshot : database.volumes().snapshots(row->id))
            LX_TRY(doomed.doom(name.pool, snapshot->volume));
        return database.volumes().remove(row->id);
    });
    LX_TRY(stored);
    failpoint("instances.volume.delete.row");
    doomed.remove();
    for (const auto& backup : backups) remove_backup_file(context, backup->file);
    volume_lifecycle(context, "storage-volume-deleted", volume_url(name), requestor);
    return {};
}

Result<> restore_volume(Context& context, const VolumeName& name, const std::string& snapshot,
                        const std::string& requestor) {
    auto& database = context.deps.database;
    LX_TRY_AS(const auto row, require_volume(context, name));
    LX_TRY_AS(const auto from, require_volume_snapshot(context, name, snapshot));
    LX_TRY_AS(const auto hold, context.volume_mounts.hold(row->id));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(name.pool));
    LX_TRY_AS(NewDirectory fresh, NewDirectory::begin(context, name.pool, shape_of(*row)));
    LX_TRY(driver->create_copy(fresh.place().volume, {storage::VolumeType::custom, from->volume}, {}));
    failpoint("instances.volume.restore.made");
    DoomedDirectories doomed(context);
    database::VolumeRecord next = *row;
    next.volume = fresh.name();
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(doomed.doom(name.pool, row->volume));
        LX_TRY(database.volumes().update(next));
        return fresh.belongs_to_a_row();
    });
    LX_TRY(stored);
    fresh.keep();
    failpoint("instances.volume.restore.row");
    doomed.remove();
    volume_lifecycle(context, "storage-volume-restored", volume_url(name), requestor,
                     {{"snapshot", snapshot}});
    return {};
}

Result<> check_attachable(const Context& context, const database::VolumeRecord& row) {
    if (!is_block(row)) return context.volume_mounts.require_free(row.id);
    return fail(Status::bad_request, "Custom block volumes cannot be used on containers");
}

database::VolumePtr find_used_volume(const Context& context, const devices::VolumeUse& use) {
    const std::string project = api::split_instance_key(use.instance).project;
    return context.deps.database.volumes().find(use.pool, volume_key(context, project, use.volume));
}

Result<UniqueFd> mount_custom_volume(Context& context, const devices::VolumeUse& use,
                                     const sys::IdMap& idmap) {
    const auto found = find_used_volume(context, use);
    if (!found) return fail(Status::not_found, "Storage volume not found");
    const bool shared = !context.volume_mounts.instances(found->id).empty();
    LX_TRY(context.volume_mounts.use(found->id, use.instance, use.device));
    // Read again: until now it could get another content, name or pool.
    const auto row = context.deps.database.volumes().find_id(found->id);
    if (!row) return fail(Status::not_found, "Storage volume not found");
    LX_TRY(check_attachable(context, *row));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(row->pool));
    storage::MountRequest request;
    if (!flag_of(row->config, "security.unmapped")) request.idmap = &idmap;
    // Without idmapped mounts, one map's ids are on disk: another's would take them from those who run.
    request.keep_ids = shared;
    request.options = api::value_of(row->config, "block.mount_options");
    storage::Volume volume{storage::VolumeType::custom, row->volume};
    if (!use.snapshot.empty()) {
        // By the row, whose name is the project's own, not by what the device says.
        LX_TRY_AS(const auto snapshot,
                  require_volume_snapshot(context, {row->pool, row->name}, use.snapshot));
        volume.name = snapshot->volume;
        request.read_only = true;
    }
    LX_TRY_AS(auto mounted, driver->mount(volume, request));
    return std::move(mounted.root);
}

}  // namespace lxmgr::instances
