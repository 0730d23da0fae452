#pragma once
#include <cstdint>
#include <string>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/idmap.h"

namespace lxmgr::instances {

/// The host ids this daemon may give to instances.
struct HostRange {
    std::uint32_t first = 1'000'000;
    std::uint32_t count = 1'000'000'000;
};

/// root's first range of at least 65536 ids in the text of /etc/subuid or /etc/subgid (subuid(5)); the
/// default 1000000:1000000000 when root has none.
HostRange host_range(const std::string& subid_text);

/// The map that unprivileged instances share, from the host's /etc/subuid and /etc/subgid.
sys::IdMap default_idmap();
/// LXD's JSON form for volatile.idmap.*:
/// [{"Isuid":true,"Isgid":false,"Hostid":..,"Nsid":0,"Maprange":..},...].
std::string idmap_json(const sys::IdMap& map);

/// The uid that creates an instance's user namespace: outside every container map, its own for each instance
/// of each state directory, because the kernel charges inotify instances to it (RUNTIME.md, pitfall 5).
std::uint32_t owner_uid(const std::string& state_dir, std::int64_t instance_id, const sys::IdMap& map);

}  // namespace lxmgr::instances
