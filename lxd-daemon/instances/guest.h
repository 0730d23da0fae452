#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/instances/context.h"

/// Private to the room: what an instance can learn of itself through /dev/lxd, and how it gets there.
namespace lxmgr::instances {

/// Where the instance finds its socket; /dev/incus is a link to it.
constexpr const char* kGuestDirectory = "/dev/lxd";
/// LXD's own, and when it was said.
constexpr const char* kReadyKey = "volatile.last_state.ready";
constexpr const char* kReadyAtKey = "volatile.lxmgr_ready_at";

/// security.devlxd and Incus's name for it, security.guestapi: either turns it off.
bool has_guest_api(const api::ConfigMap& expanded);
/// user.* and cloud-init.*
bool is_guest_key(const std::string& key);

/// Before a run: the socket listens, and the mount is to be attached at kGuestDirectory. Invalid: switched
/// off.
Result<UniqueFd> begin_guest_api(Context& context, const std::string& name, const api::ConfigMap& expanded);
/// After a restart of the daemon, for an instance that runs on.
Result<> recover_guest_api(Context& context, const std::string& name, const api::ConfigMap& expanded);
/// What the guest said to the daemon before.
void recover_guest_ready(Context& context, const database::InstanceRecord& record);
/// Switches it on or off in a running instance.
Result<> update_guest_api(Context& context, const std::string& name, const ExpandedInstance& before,
                          const ExpandedInstance& after, Revert& undo);
/// Events for those in the instance who listen at /1.0/events.
void tell_guest(const Context& context, const std::string& name, const ExpandedInstance& before,
                const ExpandedInstance& after);
/// cloud-init goes by the id: a new one where what it was given has changed, as LXD has it.
void renew_cloud_init_id(const ExpandedInstance& before, const ExpandedInstance& after,
                         database::InstanceRecord& record);

}  // namespace lxmgr::instances
