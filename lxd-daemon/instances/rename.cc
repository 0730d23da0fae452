#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/kept_addresses.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

/// Log files follow a renamed instance; they are not worth failing for.
void rename_logs(const Context& context, const std::string& name, const std::string& new_name) {
    const std::string from = context.log_dir(name);
    if (path_exists(from) && ::rename(from.c_str(), context.log_dir(new_name).c_str()) != 0) {
        log::warn("log files did not follow the rename", {{"instance", name}, {"new_name", new_name}});
    }
}

/// What a change of project changes of an instance; nullopt: nothing, it stays in its own.
Result<std::optional<database::InstanceRecord>> moved_to_project(Context& context,
                                                                 const database::InstanceRecord& record,
                                                                 const std::string& new_name) {
    const std::string project = api::split_instance_key(new_name).project;
    if (project == project_of(record)) return std::nullopt;
    database::InstanceRecord out = record;
    out.name = new_name;
    out.profiles = profile_keys(context, project, api::plain_names(record.profiles));
    LX_TRY(check_record(context, out));
    forget_gone_nics(expand(context, record).devices, expand(context, out).devices, out.config);
    return out;
}

/// Its snapshots name the profiles of the new project, as it does.
Result<> move_snapshot_profiles(Context& context, const database::InstanceRecord& moved) {
    auto& snapshots = context.deps.database.snapshots();
    for (const auto& snapshot : snapshots.list(moved.id)) {
        database::SnapshotRecord next = *snapshot;
        next.profiles = profiles_there(context, project_of(moved), snapshot->profiles);
        LX_TRY(snapshots.update(next));
    }
    return {};
}

}  // namespace

Result<> rename_instance(Context& context, const std::string& name, const std::string& new_name,
                         const std::string& requestor) {
    LX_TRY_AS(const auto record, require(context, name));
    LX_TRY(profiles::validate_instance_name(api::instance_name(new_name)));
    if (context.live.get(name).status != api::StatusCode::stopped) {
        return fail(Status::bad_request, "Renaming of running instance not allowed");
    }
    if (context.rows().find(new_name))
        return fail(Status::conflict, fmt::format("Name \"{}\" already in use", new_name));
    LX_TRY_AS(const auto moved, moved_to_project(context, *record, new_name));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record->pool));
    context.sftp_sessions.end(name);
    auto& database = context.deps.database;
    LX_TRY_AS(const auto intent,
              database.intents().add("rename-instance",
                                     {{"pool", record->pool}, {"name", name}, {"new_name", new_name}}));
    Revert undo;
    undo.add([&] {
        if (auto removed = database.intents().remove(intent); !removed)
            log::error("intent left", {{"error", removed.error().message}});
    });
    failpoint("instances.rename.intent");
    LX_TRY(driver->rename_volume({storage::VolumeType::container, name}, new_name));
    undo.add([&] {
        auto back = driver->rename_volume({storage::VolumeType::container, new_name}, name);
        if (!back)
            log::error("volume not renamed back", {{"instance", name}, {"error", back.error().message}});
    });
    failpoint("instances.rename.volume");
    const auto stored = database.transaction([&]() -> Result<> {
        LX_TRY(context.rows().rename(name, new_name));
        if (moved) {
            LX_TRY(context.rows().update(*moved));
            LX_TRY(check_in_project(context, *moved));
            LX_TRY(move_snapshot_profiles(context, *moved));
        }
        // What a first start is still to do is more than what a rename asks for.
        const auto row = context.rows().find(new_name);
        if (row && api::value_of(row->config, "volatile.apply_template").empty()) {
            const database::ConfigChanges changes{{"volatile.apply_template", "rename"}};
            LX_TRY(context.rows().change_config(new_name, changes, true));
        }
        LX_TRY(database.networks().rename_instance(name, new_name));
        return database.intents().remove(intent);
    });
    LX_TRY(stored);
    undo.commit();
    failpoint("instances.rename.row");
    if (auto told = context.deps.networks.announce_rename(name, new_name); !told) {
        log::warn("DNS did not follow the rename", {{"instance", new_name}, {"error", told.error().message}});
    }
    if (moved) settle_addresses(context, new_name);
    rename_logs(context, name, new_name);
    if (auto removed = remove_tree(context.run_dir(name)); !removed) {
        log::warn("run directory left behind", {{"instance", name}, {"error", removed.error().message}});
    }
    context.cpus.release(name);
    context.lifecycle("instance-renamed", new_name, requestor, {{"old_name", api::instance_name(name)}});
    return {};
}

}  // namespace lxmgr::instances
