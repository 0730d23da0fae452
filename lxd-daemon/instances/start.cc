#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/apparmor.h"
#include "lxd-daemon/instances/cloud_keys.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/device_steps.h"
#include "lxd-daemon/instances/disk_rates.h"
#include "lxd-daemon/instances/engine_config.h"
#include "lxd-daemon/instances/failure_log.h"
#include "lxd-daemon/instances/guest.h"
#include "lxd-daemon/instances/identity.h"
#include "lxd-daemon/instances/idmaps.h"
#include "lxd-daemon/instances/kernel_modules.h"
#include "lxd-daemon/instances/metadata.h"
#include "lxd-daemon/instances/mount_rules.h"
#include "lxd-daemon/instances/own_idmap.h"
#include "lxd-daemon/instances/settings.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/instances/volume_size.h"
#include "profiles/snapshot_keys.h"

namespace lxmgr::instances {
namespace {

std::vector<std::string> init_environment(const api::ConfigMap& expanded) {
    constexpr std::string_view kPrefix = "environment.";
    std::vector<std::string> out;
    for (const auto& [key, value] : expanded) {
        if (key.starts_with(kPrefix)) out.push_back(key.substr(kPrefix.size()) + "=" + value);
    }
    return out;
}

runtime::StartRequest request_for(const Context& context, const database::InstanceRecord& record,
                                  const ExpandedInstance& expanded, const StartedDevices& devices,
                                  const std::vector<runtime::LxcfsFile>& own_files) {
    runtime::StartRequest request;
    request.name = record.name;
    request.hostname = api::instance_name(record.name);
    request.run_dir = context.run_dir(record.name);
    request.console_log = context.console_log(record.name);
    request.idmap = current_idmap(context, record.config);
    if (!request.idmap.is_host())
        request.owner_uid = owner_uid(context.deps.state_dir, record.id, request.idmap);
    request.environment = init_environment(expanded.config);
    request.uuid = api::value_of(record.config, "volatile.uuid");
    for (const auto& file : own_files) request.attach.push_back({file.mount.get(), file.target, false});
    for (const auto& attach : devices.attaches)
        request.attach.push_back({attach.mount.get(), attach.target, attach.is_directory});
    request.setup_network = [&devices](int netns_fd, pid_t) -> Result<> {
        for (const auto& step : devices.in_network) LX_TRY(step(netns_fd));
        return {};
    };
    return request;
}

/// What raw.lxc says. @return the mounts that the request names
Result<std::vector<RawMountTree>> raw_settings(const RawLxc& raw, runtime::StartRequest& request) {
    LX_TRY_AS(auto mounts, make_raw_mounts(raw));
    for (const auto& mount : mounts)
        request.attach.push_back({mount.mount.get(), mount.target, mount.is_directory});
    request.environment.insert(request.environment.end(), raw.environment.begin(), raw.environment.end());
    if (!raw.init.empty()) request.init = raw.init;
    request.extras = raw.extras;
    return mounts;
}

/// Notes the new run; losing this note with the machine's power is right, since the run is lost too.
void record_start(Context& context, const std::string& name) {
    const database::ConfigChanges changes{{"volatile.last_state.power", "RUNNING"},
                                          {"volatile.last_state.exit", std::nullopt},
                                          {"volatile.apply_template", std::nullopt}};
    if (auto stored = context.rows().change_config(name, changes, false, now()); !stored) {
        log::error("start not recorded", {{"instance", name}, {"error", stored.error().message}});
    }
}

/// Of an earlier run, whose end nobody could note. Before the new one, which may be ready at once.
Result<> forget_ready(Context& context, const database::InstanceRecord& record) {
    if (!record.config.contains(kReadyKey)) return {};
    const database::ConfigChanges changes{{kReadyKey, std::nullopt}, {kReadyAtKey, std::nullopt}};
    LX_TRY(context.rows().change_config(record.name, changes, false));
    return {};
}

/// The cgroups first: the kernel's waits run beside the mounts.
Result<> prepare(Context& context, const std::string& name, const sys::IdMap& idmap,
                 const runtime::Limits& limits, Revert& undo) {
    runtime::StartRequest request;
    request.name = name;
    request.idmap = idmap;
    request.limits = limits;
    LX_TRY(context.deps.runtime.prepare_start(request));
    undo.add([&context, name] { context.deps.runtime.cancel_start(name); });
    return {};
}

Result<> start_stopped(Context& context, const database::InstanceRecord& stored,
                       const std::string& requestor) {
    const auto& name = stored.name;
    context.lxcfs.expect();
    const auto expanded = expand(context, stored);
    if (flag_of(expanded.config, "security.protection.start"))
        return fail(Status::bad_request, "Instance is protected: unset security.protection.start first");
    LX_TRY(forget_ready(context, stored));
    LX_TRY_AS(auto settings, settings_of(expanded.config));
    LX_TRY(load_kernel_modules(expanded.config));
    LX_TRY_AS(const auto record, take_idmap(context, expanded.config, stored));
    const auto idmap = current_idmap(context, record.config);
    LX_TRY_AS(const auto limits, all_limits(context, record, expanded, context.cpus));
    LX_TRY_AS(const DriverPtr driver, context.deps.pools.driver(record.pool));
    Revert prepared;
    LX_TRY(prepare(context, name, idmap, limits, prepared));
    LX_TRY(lxmgr::make_directory(context.run_dir(name), 0700));
    LX_TRY(lxmgr::make_directory(context.log_dir(name), 0700));
    LX_TRY_AS(const auto root,
              context.stopped_roots.get(*driver, record, idmap,
                                        flag_of(expanded.config, "security.protection.shift")));
    if (const auto trigger = api::value_of(record.config, "volatile.apply_template"); !trigger.empty()) {
        if (trigger == "copy") LX_TRY(clear_machine_id(root->get(), idmap));
        LX_TRY(write_identity(root->get(), idmap, std::string(api::instance_name(name))));
    }
    LX_TRY_AS(const bool templated, has_templates_to_apply(context, record));
    if (templated) {
        api::ConfigMap config = expanded.config;
        LX_TRY(merge_ssh_keys(config));
        LX_TRY(apply_templates(context, record, config, expanded.devices, root->get()));
    }
    if (settings.nesting) {
        const bool pids = context.deps.runtime.guests_have("pids");
        LX_TRY(write_engine_config(root->get(), idmap, pids));
    }
    failpoint("instances.start.mounted");

    LX_TRY(write_mount_rules(context, name, expanded.config));
    LX_TRY_AS(const UniqueFd guest, begin_guest_api(context, name, expanded.config));
    LX_TRY_AS(const auto devices, start_devices(context, expanded.devices, record));
    prepared.add([&context, name] {
        if (const auto current = context.rows().find(name)) release_devices(context, *current);
    });
    failpoint("instances.start.devices");
    const auto own_files = lxcfs_files(context);
    auto request = request_for(context, record, expanded, devices, own_files);
    if (guest) request.attach.push_back({guest.get(), kGuestDirectory, true});
    LX_TRY_AS(const auto raw_mounts, raw_settings(settings.raw, request));
    request.root_fd = root->get();
    request.limits = limits;
    request.kernel_limits = std::move(settings.kernel_limits);
    request.sysctls = std::move(settings.sysctls);
    request.syscalls = std::move(settings.syscalls);
    request.syscalls.deny_subvolumes =
        !settings.nesting && can_escape_a_limit(context, record, expanded.devices);
    request.intercepts = settings.intercepts;
    request.nesting = settings.nesting;
    LX_TRY_AS(request.extras.apparmor_profile, load_apparmor(context, name, request.uuid, expanded.config));
    auto running = context.deps.runtime.start(request);
    if (!running)
        return std::unexpected(in(fmt::format("Starting instance '{}'", name), std::move(running).error()));
    prepared.commit();
    failpoint("instances.start.running");
    record_start(context, name);
    context.live.started(name, *running, limits);
    failpoint("instances.start.recorded");
    if (auto finished = finish_devices(context, name, devices); !finished) {
        // The exit is handled, devices and all, by who hears of it.
        [[maybe_unused]] const auto stopped = stop_instance(context, name, true, {}, requestor, {});
        return std::unexpected(in(fmt::format("Starting instance '{}'", name), std::move(finished).error()));
    }
    context.hot_devices.watch(name, expanded.devices);
    context.lifecycle("instance-started", name, requestor, nullptr);
    return {};
}

}  // namespace

Result<> start_instance(Context& context, const std::string& name, const std::string& requestor) {
    if (context.host_shutdown) return fail(Status::unavailable, "All instances are being stopped");
    LX_TRY_AS(const auto record, require(context, name));
    if (context.live.get(name).status == api::StatusCode::frozen)
        return fail(Status::bad_request, "The instance is frozen: unfreeze it");
    if (context.live.get(name).status != api::StatusCode::stopped)
        return fail(Status::bad_request, "The instance is already running");
    const auto schedule = api::value_of(expand(context, *record).config, "snapshots.schedule");
    if (profiles::is_scheduled_at_startup(schedule))
        LX_TRY(create_snapshot(context, name, {}, requestor, profiles::SnapshotOrigin::schedule));
    context.live.starting(name);
    auto started = start_stopped(context, *record, requestor);
    if (!started) {
        log_failure(context, name, "It did not start: " + started.error().message);
        context.cpus.release(name);
        context.guest_sockets.close(name, context.run_dir(name));
        context.live.stopped(name);
    }
    return started;
}

}  // namespace lxmgr::instances
