#pragma once
#include <cstdint>
#include <string>

#include "lxd-daemon/instances/context.h"

/// Private to the room: hard size limits of volumes.
namespace lxmgr::instances {

/// The key `size` of a config; 0: none. It was checked when it was set.
std::uint64_t size_of(const api::ConfigMap& config);
/// Of an instance's root: `size` of its root disk, else the pool's volume.size; 0: none.
std::uint64_t root_size(const Context& context, const api::DeviceMap& expanded, const std::string& pool);
/// The root volume of an instance that is to be made, or a volume that is to take its place.
storage::Volume new_root(const Context& context, const database::InstanceRecord& record);
storage::Volume as_root(const Context& context, const database::InstanceRecord& record,
                        storage::Volume volume);

/// Whether a limit of the instance's root, or of a custom volume that it has, does not count what is in
/// subvolumes that its root user could make there.
bool can_escape_a_limit(const Context& context, const database::InstanceRecord& record,
                        const api::DeviceMap& expanded);

/// For want of room, the pool's or below a limit, says for what; other results are passed on.
Result<> in_room_for(const std::string& what, Result<> done);

/// Sets the limit of an instance's root when its devices give another one from now on. An intent tells a
/// crash before the row is stored; end_root_resize() after that.
Result<> resize_root(Context& context, const ExpandedInstance& before, const ExpandedInstance& after,
                     const database::InstanceRecord& record, Revert& undo);
/// The intent alone, for one that is resized later; of the same limit none.
Result<> begin_root_resize(Context& context, const ExpandedInstance& before, const ExpandedInstance& after,
                           const database::InstanceRecord& record, Revert& undo);
void end_root_resize(Context& context, const std::string& instance);

/// The same for a custom volume, row included.
Result<> resize_custom(Context& context, const database::VolumeRecord& before,
                       const database::VolumeRecord& after);

inline constexpr const char* kRootResizeIntent = "resize-root";
inline constexpr const char* kVolumeResizeIntent = "resize-volume";
/// After a crash: the limit follows the row.
Result<> recover_root_resize(Context& context, const database::IntentRecord& intent);
Result<> recover_volume_resize(Context& context, const database::IntentRecord& intent);

}  // namespace lxmgr::instances
