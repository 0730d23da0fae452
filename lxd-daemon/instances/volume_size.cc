#include "lxd-daemon/instances/volume_size.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/volumes/block.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

void end_intents(Context& context, const char* kind, const std::string& key, const std::string& value) {
    auto& database = context.deps.database;
    const auto intents = database.intents().list();
    if (!intents) return;
    for (const auto& intent : *intents) {
        const auto found = intent.details.find(key);
        if (intent.kind != kind || found == intent.details.end() || found->second != value) continue;
        if (auto removed = database.intents().remove(intent.id); !removed)
            log::error("intent left", {{"kind", kind}, {"error", removed.error().message}});
    }
}

bool runs_now(const Context& context, const std::string& instance) {
    return context.live.get(instance).status != api::StatusCode::stopped;
}

Result<> set_root_limit(Context& context, const database::InstanceRecord& record, std::uint64_t bytes) {
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    const storage::Volume root{storage::VolumeType::container, record.name, bytes};
    const bool running = runs_now(context, record.name);
    LX_TRY(driver->resize_volume(root, running));
    if (!running) context.stopped_roots.forget(record.id);
    return {};
}

/// Nobody can begin to use it while its contents are made anew.
Result<> set_custom_limit(Context& context, const database::VolumeRecord& row, std::uint64_t bytes) {
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(row.pool));
    const storage::Volume volume{storage::VolumeType::custom, row.volume, bytes};
    if (is_block(row)) return grow_block(*driver, volume, bytes);
    const auto resize = [&](bool in_use) -> Result<> {
        auto done = driver->resize_volume(volume, in_use);
        if (done) return {};
        // The driver knows its directory only.
        Error error = std::move(done).error();
        if (const auto at = error.message.find(row.volume); at != std::string::npos)
            error.message.replace(at, row.volume.size(), api::plain_name(row.name));
        return std::unexpected(std::move(error));
    };
    if (context.volume_mounts.is_reserved(row.id) || !context.volume_mounts.instances(row.id).empty())
        return resize(true);
    LX_TRY_AS(const auto hold, context.volume_mounts.hold(row.id));
    return resize(false);
}

std::uint64_t size_for(const database::VolumeRecord& row) {
    return is_block(row) ? block_size(row.config) : size_of(row.config);
}

}  // namespace

std::uint64_t size_of(const api::ConfigMap& config) {
    const auto found = config.find("size");
    if (found == config.end() || found->second.empty()) return 0;
    return profiles::parse_size(found->second).value_or(0);
}

std::uint64_t root_size(const Context& context, const api::DeviceMap& expanded, const std::string& pool) {
    const auto root = root_disk(expanded);
    if (root && expanded.at(root->first).contains("size")) return size_of(expanded.at(root->first));
    const auto record = context.deps.database.pools().find(pool);
    if (!record || !record->config.contains("volume.size")) return 0;
    return size_of({{"size", record->config.at("volume.size")}});
}

bool can_escape_a_limit(const Context& context, const database::InstanceRecord& record,
                        const api::DeviceMap& expanded) {
    auto& database = context.deps.database;
    const auto nests = [&database](const std::string& pool) {
        const auto row = database.pools().find(pool);
        const auto* const driver = row ? storage::find_driver(row->driver) : nullptr;
        return driver != nullptr && driver->nests_subvolumes;
    };
    if (nests(record.pool) && root_size(context, expanded, record.pool) != 0) return true;
    const std::string holder =
        database.projects().holder(database::Feature::volumes, api::split_instance_key(record.name).project);
    return std::ranges::any_of(expanded, [&](const auto& device) {
        const std::string pool = api::value_of(device.second, "pool");
        const std::string source = api::value_of(device.second, "source");
        if (api::value_of(device.second, "type") != "disk" || source.empty() || !nests(pool)) return false;
        const auto row = database.volumes().find(pool, api::object_key(holder, source));
        return row && !is_block(*row) && size_of(row->config) != 0;
    });
}

storage::Volume new_root(const Context& context, const database::InstanceRecord& record) {
    return as_root(context, record, {storage::VolumeType::container, record.name});
}

storage::Volume as_root(const Context& context, const database::InstanceRecord& record,
                        storage::Volume volume) {
    const auto devices = expand(context, record).devices;
    volume.size_bytes = root_size(context, devices, record.pool);
    if (const auto root = root_disk(devices))
        volume.file_system = api::value_of(devices.at(root->first), "initial.block.filesystem");
    return volume;
}

Result<> in_room_for(const std::string& what, Result<> done) {
    if (done || (done.error().sys_errno != ENOSPC && done.error().sys_errno != EDQUOT)) return done;
    return std::unexpected(in(fmt::format("No room for {}", what), std::move(done).error()));
}

Result<> begin_root_resize(Context& context, const ExpandedInstance& before, const ExpandedInstance& after,
                           const database::InstanceRecord& record, Revert& undo) {
    const bool same =
        root_size(context, before.devices, record.pool) == root_size(context, after.devices, record.pool);
    if (same) return {};
    LX_TRY(context.deps.database.intents().add(kRootResizeIntent, {{"name", record.name}}));
    undo.add([&context, name = record.name] { end_root_resize(context, name); });
    return {};
}

Result<> resize_root(Context& context, const ExpandedInstance& before, const ExpandedInstance& after,
                     const database::InstanceRecord& record, Revert& undo) {
    const auto old_size = root_size(context, before.devices, record.pool);
    const auto new_size = root_size(context, after.devices, record.pool);
    if (old_size == new_size) return {};
    LX_TRY(begin_root_resize(context, before, after, record, undo));
    failpoint("instances.resize.intent");
    LX_TRY(set_root_limit(context, record, new_size));
    undo.add([&context, record, old_size] {
        if (auto back = set_root_limit(context, record, old_size); !back)
            log::error("size not put back", {{"instance", record.name}, {"error", back.error().message}});
    });
    failpoint("instances.resize.done");
    return {};
}

void end_root_resize(Context& context, const std::string& instance) {
    end_intents(context, kRootResizeIntent, "name", instance);
}

Result<> resize_custom(Context& context, const database::VolumeRecord& before,
                       const database::VolumeRecord& after) {
    auto& database = context.deps.database;
    const auto old_size = size_for(before), new_size = size_for(after);
    const auto store = [&]() -> Result<> {
        LX_TRY(check_in_project(context, after));
        LX_TRY(database.volumes().update(after));
        return {};
    };
    if (old_size == new_size) return database.transaction(store);
    LX_TRY_AS(const auto intent,
              database.intents().add(kVolumeResizeIntent, {{"volume", std::to_string(before.id)}}));
    Revert undo;
    undo.add([&] {
        if (auto removed = database.intents().remove(intent); !removed)
            log::error("intent left", {{"error", removed.error().message}});
    });
    failpoint("instances.volume.resize.intent");
    LX_TRY(set_custom_limit(context, before, new_size));
    undo.add([&] {
        if (auto back = set_custom_limit(context, before, old_size); !back)
            log::error("size not put back", {{"volume", before.name}, {"error", back.error().message}});
    });
    failpoint("instances.volume.resize.done");
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(store());
        return database.intents().remove(intent);
    });
    LX_TRY(stored);
    undo.commit();
    return {};
}

Result<> recover_root_resize(Context& context, const database::IntentRecord& intent) {
    const auto named = intent.details.find("name");
    const auto record = named == intent.details.end() ? nullptr : context.rows().find(named->second);
    if (!record) return {};
    return set_root_limit(context, *record,
                          root_size(context, expand(context, *record).devices, record->pool));
}

Result<> recover_volume_resize(Context& context, const database::IntentRecord& intent) {
    const auto named = intent.details.find("volume");
    if (named == intent.details.end()) return {};
    const auto row =
        context.deps.database.volumes().find_id(std::strtoll(named->second.c_str(), nullptr, 10));
    // The file of a block volume may be longer than its row says: nothing is taken from it.
    if (!row || is_block(*row)) return {};
    return set_custom_limit(context, *row, size_of(row->config));
}

}  // namespace lxmgr::instances
