#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <optional>
#include <set>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/guest.h"
#include "lxd-daemon/instances/kept_addresses.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/service_impl.h"
#include "lxd-daemon/instances/settings.h"
#include "lxd-daemon/instances/side_by_side.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/config_keys.h"

/// A change of a profile reaches all its running users, or none.
namespace lxmgr::instances {
namespace {

/// It is mostly waiting for the kernel.
constexpr std::size_t kUsersAtOnce = 16;

struct User {
    database::InstancePtr record;
    ExpandedInstance before;
};

User user_of(const Context& context, database::InstancePtr record) {
    auto before = expand(context, *record);
    return {std::move(record), std::move(before)};
}

/// Their keys.
std::vector<std::string> users_of(const Context& context, const std::string& profile) {
    std::vector<std::string> users;
    for (const auto& record : context.rows().list()) {
        if (std::ranges::find(record->profiles, profile) != record->profiles.end())
            users.push_back(record->name);
    }
    return users;
}

/// One user's part of the change. Members go in reverse: what is left to undo first, the turn last.
struct UserChange {
    UserChange(Context& context, const std::string& name)
        : turn(context.device_turns.take(name)),
          user(user_of(context, context.rows().find(name))),
          record(*user.record),
          cpus_before(context.live.get(name).limits.cpus),
          undo(std::in_place) {}
    NamedTurns::Turn turn;
    User user;                        ///< read in its turn: the end of a run changes the row
    database::InstanceRecord record;  ///< undo steps refer to it
    std::optional<std::vector<int>> cpus_before;
    Result<> outcome;
    std::optional<Revert> undo;
};
using UserChanges = std::deque<UserChange>;

void each_user(UserChanges& changes, const std::function<void(UserChange&)>& work) {
    std::vector<UserChange*> all;
    for (auto& change : changes) all.push_back(&change);
    side_by_side<UserChange*>(all, kUsersAtOnce, [&](UserChange* change) { work(*change); });
}

/// Checks one user against the profile as it is now, and brings its running container in line.
Result<> apply_to(Context& context, UserChange& change) {
    const User& user = change.user;
    auto& record = change.record;
    Revert& undo = *change.undo;
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
    LX_TRY(resize_root(context, user.before, after, record, undo));
    const LiveState live = context.live.get(record.name);
    if (live.status != api::StatusCode::stopped) {
        LX_TRY(apply_live_expanded(context, {live.limits, user.before, after}, record, undo));
    }
    forget_gone_nics(user.before.devices, after.devices, record.config);
    failpoint("instances.profile.user");
    if (record.config == user.record->config) return {};
    LX_TRY(context.rows().update(record));
    undo.add([&context, before = user.record] {
        [[maybe_unused]] const auto restored = context.rows().update(*before);
    });
    return {};
}

/// A guest that cloud-init looks after has to see at its next boot that something changed.
Result<> store_cloud_init_id(Context& context, const ExpandedInstance& after, UserChange& change) {
    renew_cloud_init_id(change.user.before, after, change.record);
    if (change.record.config == change.user.record->config) return {};
    change.undo->add([&context, before = change.user.record] {
        [[maybe_unused]] const auto restored = context.rows().update(*before);
    });
    LX_TRY(context.rows().update(change.record));
    return {};
}

/// Together with the profile, what each user has to follow it in: a crash may come before its turn does.
Result<> store(Context& context, const database::ProfileRecord& profile, UserChanges& changes) {
    return context.deps.database.transaction([&]() -> Result<> {
        LX_TRY(context.deps.database.profiles().update(profile));
        LX_TRY(check_profile_in_project(context, profile));
        for (auto& change : changes) {
            const auto& [record, before] = change.user;
            const auto after = expand(context, *record);
            LX_TRY(store_cloud_init_id(context, after, change));
            LX_TRY(begin_root_resize(context, before, after, *record, *change.undo));
            if (context.live.get(record->name).status == api::StatusCode::stopped) continue;
            LX_TRY(begin_device_change(context, record->name, before.devices, after.devices, *change.undo));
        }
        return {};
    });
}

/// All that failed before the others were told not to begin.
std::optional<Error> failure_of(const UserChanges& changes) {
    std::optional<Error> out;
    for (const auto& change : changes) {
        if (change.outcome) continue;
        Error error =
            in(fmt::format("Applying the profile to instance '{}'", api::instance_name(change.record.name)),
               change.outcome.error());
        if (out) {
            out->message += "; " + error.message;
        } else {
            out = std::move(error);
        }
    }
    return out;
}

/// Of users that are all locked.
Result<> replace_profile(Context& context, const database::ProfileRecord& before,
                         const database::ProfileRecord& after, const std::vector<std::string>& users) {
    UserChanges changes;
    for (const auto& name : users) changes.emplace_back(context, name);
    LX_TRY(store(context, after, changes));
    failpoint("instances.profile.stored");
    std::atomic<bool> failed = false;
    each_user(changes, [&](UserChange& change) {
        if (failed) return;
        change.outcome = apply_to(context, change);
        if (!change.outcome) failed = true;
    });
    if (const auto failure = failure_of(changes)) {
        if (auto restored = context.deps.database.profiles().update(before); !restored)
            log::error("profile not restored",
                       {{"profile", before.name}, {"error", restored.error().message}});
        failpoint("instances.profile.restored");
        each_user(changes, [](UserChange& change) { change.undo.reset(); });
        return std::unexpected(*failure);
    }
    bool moved = false;
    for (auto& change : changes) {
        change.undo->commit();
        moved |= change.cpus_before != context.live.get(change.record.name).limits.cpus;
    }
    for (const auto& change : changes) {
        const std::string& name = change.record.name;
        settle_addresses(context, name);
        end_root_resize(context, name);
        end_device_change(context, name);
        tell_guest(context, name, change.user.before, expand(context, *change.user.record));
    }
    if (moved) rebalance_cpus(context);
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
        for (const auto& instance : users_of(impl_->context, name)) {
            locked.insert(instance);
            request.locks.push_back("instance:" + instance);
            // Who sees the operation need not see what other projects have.
            if (api::is_of_project(instance, request.project)) shown.push_back(instance);
        }
        LX_TRY(run_and_wait(deps_.operations, std::move(request), [&]() -> Result<> {
            const auto before = deps_.database.profiles().find(name);
            if (!before) return fail(Status::not_found, "Profile not found");
            const auto users = users_of(impl_->context, name);
            done = std::ranges::all_of(users, [&](const auto& user) { return locked.contains(user); });
            if (!done) return {};
            LX_TRY_AS(const auto after, change(*before));
            return replace_profile(impl_->context, *before, after, users);
        }));
    }
    impl_->context.snapshot_timer.poke();
    return {};
}

}  // namespace lxmgr::instances
