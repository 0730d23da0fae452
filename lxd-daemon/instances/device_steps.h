#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/devices/device.h"
#include "lxd-daemon/instances/context.h"

/// Private to the room: how an instance's expanded devices are started, changed and released.
namespace lxmgr::instances {

/// The managed networks and pools as devices see them.
/// @param coming  the devices that an instance is being given, where it is not what is stored
std::unique_ptr<devices::Surroundings> make_surroundings(
    Context& context, std::shared_ptr<const api::DeviceMap> coming = nullptr);

/// What the devices of one instance gave for its start.
struct StartedDevices {
    std::vector<devices::Attach> attaches;
    std::vector<std::function<Result<>(int netns_fd)>> in_network;
    std::vector<std::function<Result<>(const devices::RunningInstance&)>> when_running;
};
/// Lets devices do what they can do only now that init runs.
Result<> finish_devices(Context& context, const std::string& instance, const StartedDevices& started);

/// Values that devices keep for life (MAC addresses), added to record.config; nothing is made.
Result<> prepare_devices(Context& context, const api::DeviceMap& expanded, database::InstanceRecord& record);
/// Checks of what devices refer to: networks, pools, host paths.
Result<> validate_devices_for(Context& context, const api::DeviceMap& expanded,
                              const database::InstanceRecord& record);
/// Starts all devices for a new run and stores their volatile values; on failure those already started are
/// stopped.
Result<StartedDevices> start_devices(Context& context, const api::DeviceMap& expanded,
                                     const database::InstanceRecord& record);
/// After the end of a run: takes away what devices made on the host. Failures are logged: the instance is
/// stopped anyway.
void release_devices(Context& context, const database::InstanceRecord& record);
/// After a restart of the daemon, for an instance that runs on.
void recover_devices(Context& context, const database::InstanceRecord& record);

/// The same for its NICs and for translations of its proxies alone.
void repair_nics_of(Context& context, const database::InstanceRecord& record);

/// Adds, changes and removes devices of a running instance; volatile values go into `record`.
Result<> update_devices(Context& context, const ExpandedInstance& before, const ExpandedInstance& after,
                        database::InstanceRecord& record, Revert& undo);

/// The intent of a change of a running instance's devices: what a crash leaves half done is made to fit the
/// stored config by recover_device_change().
constexpr const char* kDeviceChangeIntent = "update-devices";
Result<> begin_device_change(Context& context, const std::string& name, const api::DeviceMap& before,
                             const api::DeviceMap& after, Revert& undo);
/// After the row was stored.
void end_device_change(Context& context, const std::string& name);
Result<> recover_device_change(Context& context, const database::IntentRecord& intent);

/// What the change of a running instance starts from and goes to.
struct LiveChange {
    const runtime::Limits& old_limits;
    const ExpandedInstance& old_expanded;
    const ExpandedInstance& new_expanded;
};
/// Makes a running instance (in the kernel) equal to `after`; does nothing to a stopped one. On failure the
/// caller's `undo` restores what was changed. The caller has the instance's turn (Context::device_turns), so
/// that the run does not end meanwhile.
Result<> apply_live(Context& context, const database::InstanceRecord& before, database::InstanceRecord& after,
                    Revert& undo);
/// The same; the intent of the change of devices is the caller's.
Result<> apply_live_expanded(Context& context, const LiveChange& change, database::InstanceRecord& after,
                             Revert& undo);

}  // namespace lxmgr::instances
