#pragma once
#include "lxd-daemon/instances/context.h"

namespace lxmgr::instances {

/// Held from the choice of an id map until it is stored, so that no other takes the same range. Owns nothing
/// where the config asks for no range of its own.
std::unique_lock<std::mutex> lock_idmaps(Context& context, const api::ConfigMap& expanded);

/// Chooses the id map of an instance, by its config with the profiles, and notes it in volatile.idmap.base
/// and .next of the record. The caller holds lock_idmaps() until the record is stored. Errors: see
/// choose_idmap().
Result<> assign_idmap(const Context& context, const api::ConfigMap& expanded,
                      database::InstanceRecord& record);

/// The same for a start: stores what changed, and makes it the current map.
Result<database::InstanceRecord> take_idmap(Context& context, const api::ConfigMap& expanded,
                                            const database::InstanceRecord& record);

/// The map that the stopped instance's next run is to have.
sys::IdMap next_idmap(const Context& context, const api::ConfigMap& config);
/// The map that it runs with.
sys::IdMap current_idmap(const Context& context, const api::ConfigMap& config);

}  // namespace lxmgr::instances
