#include <fmt/format.h>

#include <set>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/freeze.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/recovery/scan.h"
#include "lxd-daemon/instances/snapshots.h"

namespace lxmgr::instances {

storage::Volume new_snapshot_volume() { return {storage::VolumeType::snapshot, random_hex(16)}; }

Result<> copy_root(Context& context, const database::InstanceRecord& record, storage::Driver& driver,
                   const storage::Volume& to) {
    const storage::Volume root{storage::VolumeType::container, record.name};
    if (context.live.get(record.name).status != api::StatusCode::running)
        return driver.create_copy(to, root, {});
    Freeze freeze(context, {record.name});
    LX_TRY(freeze.begin());
    return driver.create_copy(to, root, [&freeze] { freeze.end(); });
}

Result<> thaw_after_crash(Context& context, const std::string& instance) {
    if (context.live.get(instance).status == api::StatusCode::stopped) return {};
    LX_TRY(context.deps.runtime.unfreeze(instance));
    context.live.set_status(instance, api::StatusCode::running);
    return {};
}

void delete_snapshot_volume(Context& context, const std::string& pool, const std::string& volume) {
    const auto driver = context.deps.pools.driver(pool);
    const auto removed =
        driver ? (*driver)->delete_volume({storage::VolumeType::snapshot, volume}) : Result<>{};
    if (!removed) log::error("snapshot volume left", {{"pool", pool}, {"error", removed.error().message}});
}

void remove_unknown_snapshot_volumes(Context& context) {
    std::set<std::string> known;
    for (const auto& snapshot : context.deps.database.snapshots().list_all()) known.insert(snapshot->volume);
    for (const auto& pool : context.deps.database.pools().list()) {
        const auto driver = context.deps.pools.driver(pool->name);
        if (!driver) continue;  // it could not be opened; a warning says so
        const auto volumes = (*driver)->list_volumes(storage::VolumeType::snapshot);
        if (!volumes) {
            log::error("snapshot volumes not listed",
                       {{"pool", pool->name}, {"error", volumes.error().message}});
            continue;
        }
        for (const auto& volume : *volumes) {
            if (!known.contains(volume) && !is_of_lost_instance(context, pool->name, **driver, volume))
                delete_snapshot_volume(context, pool->name, volume);
        }
    }
}

Result<> replace_root(Context& context, const database::InstanceRecord& record, storage::Driver& driver,
                      const storage::Volume& fresh, std::int64_t intent) {
    LX_TRY(driver.swap_volumes({storage::VolumeType::container, record.name}, fresh));
    context.stopped_roots.forget(record.id);
    failpoint("instances.replace.swapped");
    const auto stored = context.deps.database.transaction([&]() -> Result<> {
        LX_TRY(check_in_project(context, record));
        LX_TRY(context.rows().update(record));
        LX_TRY(context.rows().set_metadata(record.name, record.metadata_id));
        return context.deps.database.intents().remove(intent);
    });
    if (!stored) {
        if (auto back = driver.swap_volumes({storage::VolumeType::container, record.name}, fresh); !back)
            log::error("volume not put back", {{"instance", record.name}, {"error", back.error().message}});
        context.stopped_roots.forget(record.id);
        return stored;
    }
    failpoint("instances.replace.row");
    return driver.delete_volume(fresh);
}

}  // namespace lxmgr::instances
