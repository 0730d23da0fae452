#pragma once
#include "lxd-daemon/instances/context.h"
#include "storage/driver.h"

/// Private to the room: custom volumes of content type "block". Such a volume holds one sparse file of its
/// size, root.img, so that all that is done with volumes is done with it; containers cannot have it.
namespace lxmgr::instances {

inline constexpr const char* kBlockContent = "block";
inline constexpr const char* kBlockFile = "root.img";  ///< in the volume's root
bool is_block(const database::VolumeRecord& record);
/// The key `size`, or LXD's default of 10 GiB.
std::uint64_t block_size(const api::ConfigMap& config);
/// What a new volume's directory is to be: with the hard limit of its tree, which a block volume has not,
/// whose file has its size; and the same for a snapshot of it, which has no limit.
storage::Volume shape_of(const database::VolumeRecord& record);
storage::Volume snapshot_shape_of(const database::VolumeRecord& record);
storage::Filler block_filler(std::uint64_t bytes);
/// Keys that volumes of the other content type have no use for: `bad_request`.
Result<> check_content_keys(const std::string& content_type, const api::ConfigMap& config);
/// Errors: `bad_request` when its file is not there.
Result<std::uint64_t> block_bytes(storage::Driver& driver, const storage::Volume& volume);
/// Errors: `bad_request` for less than it has.
Result<> grow_block(storage::Driver& driver, const storage::Volume& volume, std::uint64_t bytes);

}  // namespace lxmgr::instances
