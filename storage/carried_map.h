#pragma once
#include <optional>
#include <string>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/idmap.h"

namespace lxmgr::storage {

/// A map as one word, "u0-1000000-65536,g0-1000000-65536": container-first, host-first, count of each range.
/// It is a file name too. Errors: `bad_request` when it is longer than a file name may be (255 bytes).
Result<std::string> map_to_name(const sys::IdMap& map);
/// nullopt for what map_to_name() does not write.
std::optional<sys::IdMap> map_from_name(const std::string& name);

/// The map whose host ids a volume's tree carries on disk, kept in the volume's directory as a symlink,
/// because that is made in one step. nullopt: 0-based ids, the normal case.
Result<std::optional<sys::IdMap>> carried_map(int volume_fd);
/// Whether a tree can be mounted as it is for this map; null asks for whatever is there.
bool as_on_disk(const std::optional<sys::IdMap>& carried, const sys::IdMap* wanted);
/// For a new volume directory only.
Result<> set_carried_map(int volume_fd, const sys::IdMap& map);

}  // namespace lxmgr::storage
