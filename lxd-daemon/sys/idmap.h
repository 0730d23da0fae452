#pragma once
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::sys {

/// One contiguous range of a user namespace map: `count` ids from `container_first` inside are `host_first`..
/// outside.
struct IdRange {
    std::uint32_t container_first = 0;
    std::uint32_t host_first = 0;
    std::uint32_t count = 0;
    bool operator==(const IdRange&) const = default;
};

struct IdMap {
    std::vector<IdRange> uids;
    std::vector<IdRange> gids;
    bool operator==(const IdMap&) const = default;

    /// Every id is itself: no user namespace, a privileged container.
    [[nodiscard]] static IdMap host();
    [[nodiscard]] bool is_host() const { return *this == host(); }
    /// The text for /proc/PID/uid_map (or gid_map), user_namespaces(7).
    [[nodiscard]] static std::string to_proc(const std::vector<IdRange>& ranges);
    /// Host id of a container id; 65534 (nobody) where the map has none.
    [[nodiscard]] std::uint32_t host_uid(std::uint32_t uid) const;
    [[nodiscard]] std::uint32_t host_gid(std::uint32_t gid) const;
};

/// A user namespace with this map, for MOUNT_ATTR_IDMAP. Holds no process. Safe in a program with threads.
/// Errors: `internal` with errno. Needs CAP_SETUID over the host range.
Result<UniqueFd> make_user_namespace(const IdMap& map);

/// Hands out one namespace descriptor per distinct map and keeps it open: an idmapped mount then costs 30 us,
/// not 400 (measured: docs/explanation/kernel-facts.md). Thread-safe.
class IdmapCache {
public:
    /// The descriptor stays owned by the cache and is valid as long as it lives.
    Result<int> get(const IdMap& map);

private:
    std::mutex mutex_;
    std::vector<std::pair<IdMap, UniqueFd>> entries_;
};

}  // namespace lxmgr::sys
