#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <set>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/guest.h"
#include "lxd-daemon/instances/kept_addresses.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/service_impl.h"
#include "lxd-daemon/instances/settings.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/config_keys.h"

/// A change of a profile reaches all its running users, or none.
namespace lxmgr::instances {
namespace {

struct User {
    database::InstancePtr record;
    ExpandedInstance before;
};

std::vector<User> users_of(const Context& context, const std::string& profile) {
    std::vector<User> users;
    for (const auto& record : context.rows().list()) {
        if (std::ranges::find(record->profiles, profile) != record->profiles.end())
            users.push_back({record, expand(context, *record)});
    }
    return users;
}

/// Checks one user against the profile as it is now, and brings its running container in line. `record` is a
/// copy of the user's; undo steps refer to it.
Result<> apply_to(Context& context, const User& user, database::InstanceRecord& record, Revert& undo) {
    const auto after = expand(context, *user.record);
    LX_TRY(profiles::validate_devices(after.devices, true));
    LX_TRY_AS(const auto root, root_disk(after.devices));
    if (root.second != user.record->pool) {
        return fail(Status::bad_request, fmt::format("its root disk is in pool '{}' and cannot move to '{}'",
                                                     user.record->pool, root.second));
    }
    LX_TRY(validate_devices_for(context, after.devices, record));
    LX_TRY(prepare_devices(context, after.devices, record));
    LX_TRY(settings_of(after.config));
    const auto idmap_lock = lock_idmaps(context, after.config);
    LX_TRY(assign_idmap(context, after.config, record));
    renew_cloud_init_id(user.before, after, record);
    LX_TRY(resize_root(context, user.before, after, record, undo));
    const LiveState live = context.live.get(record.name);
    if (live.status != api::StatusCode::stopped) {
        LX_TRY(apply_live_expanded(context, {live.limits, user.before, after}, record, undo));
    }
    forget_gone_nics(user.before.devices, after.devices, record.config);
    if (record.config == user.record->config) return {};
    LX_TRY(context.rows().update(record));
    undo.add([&context, before = user.record] {
        [[maybe_unused]] const auto restored = context.rows().update(*before);
    });
    return {};
}

/// Of users that are all locked.
Result<> replace_profile(Context& context, const database::ProfileRecord& before,
                         const database::ProfileRecord& after, const std::vector<User>& users) {
    const auto stored = context.deps.database.transaction([&]() -> Result<> {
        LX_TRY(context.deps.database.profiles().update(after));
        return check_profile_in_project(context, after);
    });
    LX_TRY(stored);
    std::deque<database::InstanceRecord> records;
    Revert undo;
    undo.add([&context, before] {
        [[maybe_unused]] const auto restored = context.deps.database.profiles().update(before);
    });
    for (const auto& user : users) {
        auto applied = apply_to(context, user, records.emplace_back(*user.record), undo);
        if (!applied)
            return std::unexpected(in(
                fmt::format("Applying the profile to instance '{}'", api::instance_name(user.record->name)),
                std::move(applied).error()));
    }
    undo.commit();
    for (const auto& user : users) {
        settle_addresses(context, user.record->name);
        end_root_resize(context, user.record->name);
        end_device_change(context, user.record->name);
        tell_guest(context, user.record->name, user.before, expand(context, *user.record));
    }
    return {};
}

}  // namespace

Result<> Service::update_profile(const std::string& name, const ProfileChange& change,
                                 const std::string& requestor) {
    // Who comes to use it meanwhile has to be locked too.
    for (bool done = false; !done;) {
        operations::Request request;
        request.description = "Updating profile";
        request.requestor = requestor;
        request.project = api::split_object_key(name).project;
        request.locks.push_back("profile:" + name);
        std::set<std::string> locked;
        auto& shown = request.resources["instances"];
        for (const auto& user : users_of(impl_->context, name)) {
            const std::string& instance = user.record->name;
            locked.insert(instance);
            request.locks.push_back("instance:" + instance);
            // Who sees the operation need not see what other projects have.
            if (api::is_of_project(instance, request.project)) shown.push_back(instance);
        }
        LX_TRY(run_and_wait(deps_.operations, std::move(request), [&]() -> Result<> {
            const auto before = deps_.database.profiles().find(name);
            if (!before) return fail(Status::not_found, "Profile not found");
            const auto users = users_of(impl_->context, name);
            done = std::ranges::all_of(users,
                                       [&](const User& user) { return locked.contains(user.record->name); });
            if (!done) return {};
            LX_TRY_AS(const auto after, change(*before));
            return replace_profile(impl_->context, *before, after, users);
        }));
    }
    impl_->context.snapshot_timer.poke();
    return {};
}

}  // namespace lxmgr::instances
