#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/remains.h"
#include "lxd-daemon/instances/snapshots.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {

Result<> remove_remains(Context& context, const std::string& pool, const std::string& name) {
    // A pool that is gone or broken must not keep the rest from being removed.
    if (const auto driver = context.deps.pools.driver(pool))
        LX_TRY((*driver)->delete_volume({storage::VolumeType::container, name}));
    failpoint("instances.delete.volume");
    LX_TRY(context.deps.networks.release_all(name));
    failpoint("instances.delete.addresses");
    LX_TRY(remove_tree(context.log_dir(name)));
    return remove_tree(context.run_dir(name));
}

Result<> delete_instance(Context& context, const std::string& name, const std::string& requestor) {
    LX_TRY_AS(const auto record, require(context, name));
    if (context.live.get(name).status != api::StatusCode::stopped)
        return fail(Status::bad_request, "Instance is running");
    const auto expanded = expand(context, *record);
    const auto guarded = expanded.config.find("security.protection.delete");
    if (guarded != expanded.config.end() && profiles::parse_bool(guarded->second)) {
        return fail(Status::bad_request, "Instance is protected: unset security.protection.delete first");
    }
    auto& database = context.deps.database;
    const auto snapshots = database.snapshots().list(record->id);
    const auto backups = database.backups().list(record->id, 0);
    std::int64_t intent = 0;
    // From here on the instance is gone for everyone: what is left of it is removed now, or after a crash.
    const auto removed = database.transaction([&]() -> Result<> {
        LX_TRY_AS(intent,
                  database.intents().add("delete-instance", {{"pool", record->pool}, {"name", name}}));
        return context.rows().remove(name);
    });
    LX_TRY(removed);
    context.sftp_sessions.end(name);
    failpoint("instances.delete.row");
    LX_TRY(remove_remains(context, record->pool, name));
    for (const auto& snapshot : snapshots) delete_snapshot_volume(context, record->pool, snapshot->volume);
    for (const auto& backup : backups) remove_backup_file(context, backup->file);
    LX_TRY(database.intents().remove(intent));
    context.cpus.release(name);
    context.lifecycle("instance-deleted", name, requestor, nullptr);
    return {};
}

}  // namespace lxmgr::instances
