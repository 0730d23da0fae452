#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/apparmor.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/disk_rates.h"
#include "lxd-daemon/instances/guest.h"
#include "lxd-daemon/instances/kept_addresses.h"
#include "lxd-daemon/instances/kernel_modules.h"
#include "lxd-daemon/instances/mount_rules.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/settings.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

/// `lxc copy --refresh` ends with a PUT of the other server's instance, volatile.* and all. One that was
/// itself brought up to date from here may have our uuid, and is not told by it.
bool is_of_another(const api::ConfigMap& before, const api::ConfigMap& after) {
    const auto mine = before.find("volatile.uuid"), given = after.find("volatile.uuid");
    return mine != before.end() && given != after.end() && mine->second != given->second;
}

/// Of an instance that has run elsewhere.
bool comes_from_a_run(const std::string& key) {
    return key == "volatile.idmap.current" || key.starts_with("volatile.last_state.");
}

/// volatile.* belongs to the daemon: what a client changes is kept as it was, and ids that it leaves out are
/// an error, as LXD's are; only a NIC's MAC address may be given, of this instance.
Result<> keep_volatile(const api::ConfigMap& before, api::ConfigMap& after) {
    const bool of_another = is_of_another(before, after);
    for (const auto& [key, value] : before) {
        if (!key.starts_with("volatile.")) continue;
        const bool given = after.contains(key);
        const bool ids = key.starts_with("volatile.idmap.") || key == "volatile.last_state.idmap";
        if (ids && !given && !of_another && key != "volatile.idmap.current")
            return fail(Status::bad_request,
                        fmt::format("'{}' belongs to the server and cannot be removed", key));
        const bool may_change = key.ends_with(".hwaddr") && !of_another;
        if (!may_change) after[key] = value;
    }
    for (auto it = after.begin(); it != after.end();) {
        const bool may_be_new = it->first.ends_with(".hwaddr") && !of_another;
        const bool invented =
            it->first.starts_with("volatile.") && !may_be_new && !before.contains(it->first);
        if (invented && !of_another && !comes_from_a_run(it->first))
            return fail(Status::bad_request,
                        fmt::format("'{}' belongs to the server and cannot be set", it->first));
        it = invented ? after.erase(it) : std::next(it);
    }
    return {};
}

/// The root volume stays where it is: its pool is fixed at creation.
Result<> check_root(const database::InstanceRecord& record, const ExpandedInstance& expanded) {
    LX_TRY_AS(const auto root, root_disk(expanded.devices));
    if (root.second == record.pool) return {};
    return fail(Status::bad_request,
                fmt::format("The root disk of instance '{}' is in pool '{}': it cannot be changed to '{}'",
                            record.name, record.pool, root.second));
}

}  // namespace

Result<> apply_live(Context& context, const database::InstanceRecord& before, database::InstanceRecord& after,
                    Revert& undo) {
    const LiveState live = context.live.get(after.name);
    if (live.status == api::StatusCode::stopped) return {};
    const auto old_expanded = expand(context, before);
    const auto new_expanded = expand(context, after);
    LX_TRY(begin_device_change(context, after.name, old_expanded.devices, new_expanded.devices, undo));
    return apply_live_expanded(context, {live.limits, old_expanded, new_expanded}, after, undo);
}

Result<> apply_live_expanded(Context& context, const LiveChange& change, database::InstanceRecord& after,
                             Revert& undo) {
    LX_TRY(update_devices(context, change.old_expanded, change.new_expanded, after, undo));
    context.hot_devices.watch(after.name, change.new_expanded.devices);
    undo.add([&context, name = after.name, devices = change.old_expanded.devices] {
        context.hot_devices.watch(name, devices);
    });
    LX_TRY(update_guest_api(context, after.name, change.old_expanded, change.new_expanded, undo));
    LX_TRY(update_apparmor(context, after.name, change.old_expanded, change.new_expanded, undo));
    LX_TRY(update_mount_rules(context, after.name, change.old_expanded, change.new_expanded, undo));
    LX_TRY(load_kernel_modules(change.new_expanded.config));
    undo.add(context.cpus.undo(after.name));
    LX_TRY_AS(const auto limits, all_limits(context, after, change.new_expanded, context.cpus));
    if (limits == change.old_limits) return {};
    LX_TRY(context.deps.runtime.set_limits(after.name, change.old_limits, limits));
    context.live.set_limits(after.name, limits);
    undo.add([&context, name = after.name, from = limits, to = change.old_limits] {
        if (context.deps.runtime.set_limits(name, from, to)) context.live.set_limits(name, to);
    });
    return {};
}

Result<> check_record(Context& context, database::InstanceRecord& record) {
    LX_TRY(check_profiles(context, record.profiles));
    LX_TRY(profiles::validate_instance_config(record.config, true));
    LX_TRY(profiles::validate_devices(record.devices, false));
    const auto expanded = expand(context, record);
    LX_TRY(profiles::validate_devices(expanded.devices, true));
    LX_TRY(check_root(record, expanded));
    LX_TRY(validate_devices_for(context, expanded.devices, record));
    LX_TRY(prepare_devices(context, expanded.devices, record));
    CpuPlacement trial;
    LX_TRY(all_limits(context, record, expanded, trial));
    LX_TRY(settings_of(expanded.config));
    return check_in_project(context, record);
}

Result<> update_instance(Context& context, const std::string& name, const api::InstancePut& put,
                         const std::string& requestor) {
    const auto turn = context.device_turns.take(name);  // the row is not what the end of a run makes it, too
    LX_TRY_AS(const auto before, require(context, name));
    if (put.stateful) return fail(Status::bad_request, "Stateful instances are not supported");
    if (!put.architecture.empty() && put.architecture != before->architecture) {
        return fail(Status::bad_request, "The architecture of an instance cannot be changed");
    }
    database::InstanceRecord after = *before;
    after.description = put.description;
    after.ephemeral = put.ephemeral;
    after.profiles = profile_keys(context, project_of(after), put.profiles);
    after.config = put.config;
    after.devices = put.devices;
    LX_TRY(keep_volatile(before->config, after.config));
    LX_TRY(check_record(context, after));
    const auto expanded_before = expand(context, *before);
    const auto expanded = expand(context, after);
    renew_cloud_init_id(expanded_before, expanded, after);

    const auto idmap_lock = lock_idmaps(context, expanded.config);
    LX_TRY(assign_idmap(context, expanded.config, after));
    const auto cpus_before = context.live.get(name).limits.cpus;
    Revert undo;
    LX_TRY(resize_root(context, expanded_before, expanded, after, undo));
    LX_TRY(apply_live(context, *before, after, undo));
    forget_gone_nics(expanded_before.devices, expanded.devices, after.config);
    failpoint("instances.update.live");
    const auto stored = context.deps.database.transaction([&]() -> Result<> {
        LX_TRY(check_in_project(context, after));
        LX_TRY(context.rows().update(after));
        return {};
    });
    LX_TRY(stored);
    undo.commit();
    failpoint("instances.update.row");
    settle_addresses(context, name);
    end_root_resize(context, name);
    end_device_change(context, name);
    tell_guest(context, name, expanded_before, expanded);
    if (cpus_before != context.live.get(name).limits.cpus) rebalance_cpus(context);
    context.snapshot_timer.poke();
    context.lifecycle("instance-updated", name, requestor, nullptr);
    return {};
}

}  // namespace lxmgr::instances
