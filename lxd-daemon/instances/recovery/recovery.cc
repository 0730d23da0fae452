#include "lxd-daemon/instances/recovery/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/copies.h"
#include "lxd-daemon/instances/kept_addresses.h"
#include "lxd-daemon/instances/recovery/scan.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

using nlohmann::json;

/// A pool that is looked at: the database's, or one opened only for that.
struct Looked {
    database::PoolRecord record;
    DriverPtr driver;
    bool lost_pool = false;  ///< the database does not know it
    Lost lost;
};

Result<Looked> look_at(Context& context, const api::StoragePoolsPost& post, bool take_over) {
    Looked out;
    out.record = {0, post.name, post.driver, post.fields.description, post.fields.config};
    if (context.deps.database.pools().find(post.name)) {
        LX_TRY_AS(out.driver, context.deps.pools.driver(post.name));
    } else {
        LX_TRY_AS(out.driver, context.deps.pools.open_lost(out.record));
        out.lost_pool = true;
        if (take_over) LX_TRY(out.driver->recover());
    }
    LX_TRY_AS(out.lost, find_lost(context, post.name, *out.driver));
    return out;
}

Result<std::vector<Looked>> look_at_all(Context& context, std::vector<api::StoragePoolsPost> pools,
                                        bool take_over) {
    if (pools.empty()) {
        for (const auto& row : context.deps.database.pools().list())
            pools.push_back({row->name, row->driver, {row->description, row->config}});
        for (auto& post : find_lost_pools(context)) pools.push_back(std::move(post));
    }
    std::vector<Looked> out;
    for (const auto& post : pools) {
        auto looked = look_at(context, post, take_over);
        if (!looked)
            return std::unexpected(
                in(fmt::format("Opening pool '{}'", post.name), std::move(looked).error()));
        out.push_back(*std::move(looked));
    }
    return out;
}

bool is_empty_default(const database::ProfileRecord& profile) {
    return api::plain_name(profile.name) == "default" && profile.config.empty() && profile.devices.empty();
}

/// What an instance needs and neither is here nor comes back with it.
void find_missing(const Context& context, const LostInstance& lost, std::vector<std::string>& errors) {
    const auto missing = [&](const std::string& what, const std::string& name) {
        errors.push_back(
            fmt::format("Instance '{}' needs {} '{}': create it first", lost.record.name, what, name));
    };
    std::vector<api::DeviceMap> devices{lost.record.devices};
    for (const auto& name : lost.record.profiles) {
        const auto here = context.deps.database.profiles().find(name);
        const auto noted = std::ranges::find(lost.profiles, name, &database::ProfileRecord::name);
        if (here && !is_empty_default(*here)) {
            devices.push_back(here->devices);
        } else if (noted != lost.profiles.end()) {
            devices.push_back(noted->devices);
        } else if (!here) {
            missing("profile", name);
        }
    }
    std::set<std::string> networks;
    for (const auto& map : devices) {
        for (const auto& [device, keys] : map) networks.insert(api::value_of(keys, "network"));
    }
    for (const auto& name : networks) {
        if (!name.empty() && !context.deps.database.networks().find(name)) missing("network", name);
    }
}

json result_of(const std::vector<Looked>& all, const std::vector<std::string>& more_errors) {
    json out{{"UnknownVolumes", json::array()}, {"DependencyErrors", more_errors}};
    for (const auto& pool : all) {
        const auto add = [&](const api::ProjectName& name, const char* type, std::size_t snapshots) {
            out["UnknownVolumes"].push_back({{"name", name.name},
                                             {"type", type},
                                             {"snapshotCount", snapshots},
                                             {"project", name.project},
                                             {"pool", pool.record.name}});
        };
        for (const auto& one : pool.lost.instances)
            add(api::split_instance_key(one.record.name), "container", one.snapshots.size());
        for (const auto& one : pool.lost.volumes)
            add(api::split_object_key(one.record.name), "custom", one.snapshots.size());
        for (const auto& error : pool.lost.errors) out["DependencyErrors"].push_back(error);
    }
    return out;
}

/// A project whose row is gone is made anew, with what new ones have: nothing says what it had.
Result<> bring_back_project(Context& context, const std::string& name) {
    auto& projects = context.deps.database.projects();
    if (projects.find(name)) return {};
    LX_TRY(profiles::validate_project_name(name));
    LX_TRY(projects.create({0, name, "", database::new_project_config({})}));
    return {};
}

Result<> bring_back_profiles(Context& context, const LostInstance& lost) {
    LX_TRY(bring_back_project(context, api::split_instance_key(lost.record.name).project));
    auto& profiles = context.deps.database.profiles();
    for (auto profile : lost.profiles) {
        const auto here = profiles.find(profile.name);
        if (!here) {
            LX_TRY(profiles.create(profile));
        } else if (is_empty_default(*here)) {
            profile.id = here->id;
            LX_TRY(profiles.update(profile));
        }
    }
    return {};
}

Result<> bring_back(Context& context, const LostInstance& lost, const std::string& requestor) {
    LX_TRY(bring_back_profiles(context, lost));
    database::InstanceRecord record = lost.record;
    put_root_into(context, lost.record.pool, record);
    LX_TRY(check_new_record(context, record));
    auto& database = context.deps.database;
    const auto stored = database.transaction([&]() -> Result<> {
        if (!lost.metadata.empty()) {
            LX_TRY_AS(record.metadata_id, database.metadata_sets().add(lost.metadata));
        }
        record.config["volatile.last_state.power"] = "STOPPED";
        LX_TRY_AS(const auto row, context.rows().create(record));
        for (auto snapshot : lost.snapshots) {
            snapshot.instance_id = row->id;
            LX_TRY(database.snapshots().create(snapshot));
        }
        return {};
    });
    LX_TRY(stored);
    failpoint("instances.recover.row");
    settle_addresses(context, record.name);
    context.lifecycle("instance-created", record.name, requestor,
                      {{"type", "container"}, {"storage-pool", record.pool}});
    return {};
}

/// An unpacked image is worth nothing without its row; what stands on it goes on.
Result<> forget_unknown_images(Context& context, storage::Driver& driver) {
    LX_TRY_AS(const auto names, driver.list_volumes(storage::VolumeType::image));
    for (const auto& name : names) {
        if (context.deps.database.images().find(name)) continue;
        LX_TRY(driver.delete_volume({storage::VolumeType::image, name}));
    }
    return {};
}

Result<> bring_back(Context& context, const LostVolume& lost) {
    LX_TRY(bring_back_project(context, api::split_object_key(lost.record.name).project));
    auto& volumes = context.deps.database.volumes();
    return context.deps.database.transaction([&]() -> Result<> {
        LX_TRY_AS(const auto row, volumes.create(lost.record));
        for (auto snapshot : lost.snapshots) {
            snapshot.volume_id = row->id;
            LX_TRY(volumes.create_snapshot(snapshot));
        }
        return {};
    });
}

}  // namespace

Result<json> RecoveryService::validate(std::vector<api::StoragePoolsPost> pools) {
    const std::lock_guard lock(one_at_a_time_);
    LX_TRY_AS(const auto all, look_at_all(context_, std::move(pools), false));
    std::vector<std::string> errors;
    for (const auto& pool : all) {
        for (const auto& lost : pool.lost.instances) find_missing(context_, lost, errors);
    }
    return result_of(all, errors);
}

Result<json> RecoveryService::import(std::vector<api::StoragePoolsPost> pools, const std::string& requestor) {
    const std::lock_guard lock(one_at_a_time_);
    LX_TRY_AS(auto all, look_at_all(context_, std::move(pools), true));
    // A pool without its snapshots' rows is safe: what belongs to a lost instance is not useless.
    for (auto& pool : all) {
        if (!pool.lost_pool) continue;
        LX_TRY(context_.deps.pools.take_over(pool.record, pool.driver));
        LX_TRY(forget_unknown_images(context_, *pool.driver));
    }
    failpoint("instances.recover.pools");
    std::vector<std::string> errors;
    const auto note = [&errors](const std::string& what, const std::string& name, Result<> done) {
        if (!done) errors.push_back(fmt::format("{} '{}': {}", what, name, done.error().message));
        return !done;
    };
    for (auto& pool : all) {
        std::erase_if(pool.lost.volumes, [&](const LostVolume& lost) {
            return note("Custom volume", lost.record.name, bring_back(context_, lost));
        });
    }
    for (auto& pool : all) {  // they may use volumes of any pool
        std::erase_if(pool.lost.instances, [&](const LostInstance& lost) {
            return note("Instance", lost.record.name, bring_back(context_, lost, requestor));
        });
    }
    context_.snapshot_timer.poke();
    return result_of(all, errors);
}

}  // namespace lxmgr::instances
