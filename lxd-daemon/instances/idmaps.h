#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
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

/// The ids of this host that instances may have.
struct HostIds {
    HostRange uids, gids;
    /// root's further lines in /etc/subuid and /etc/subgid, of any size: raw.idmap may use them, too.
    std::vector<HostRange> more_uids, more_gids;

    /// From the texts of /etc/subuid and /etc/subgid.
    static HostIds parse(const std::string& subuid, const std::string& subgid);
    static HostIds read();
    /// The map that instances share which ask for none of their own: the first half, so that the ranges of
    /// others overlap neither each other nor this. A host with fewer than 2 * 65536 ids gives them all.
    [[nodiscard]] sys::IdMap shared() const;
};

/// security.idmap.*, raw.idmap and security.privileged of an expanded config.
struct IdmapWish {
    bool privileged = false;
    bool isolated = false;
    std::uint32_t base = 0;  ///< 0: not given
    std::uint32_t size = 0;  ///< 0: not given
    std::string raw;
    /// A range of the instance's own, in place of the shared one.
    [[nodiscard]] bool own_range() const { return isolated || base != 0; }
};
/// Errors: `bad_request` where keys exclude each other.
Result<IdmapWish> idmap_wish(const api::ConfigMap& expanded);

struct IdmapChoice {
    sys::IdMap map;
    std::uint32_t base = 0;  ///< of an own range, for volatile.idmap.base; else 0
};
/// @param before  what the instance has now: kept while it is what is wished for
/// @param taken   maps of others with a range of their own
/// Errors: `bad_request` when the ids are not there or not allowed, or belong to another.
Result<IdmapChoice> choose_idmap(const HostIds& host, const IdmapWish& wish, const IdmapChoice& before,
                                 const std::vector<sys::IdMap>& taken);

/// Puts raw.idmap's ranges in place of what the map had for these ids.
Result<sys::IdMap> with_raw_idmap(const HostIds& host, sys::IdMap map, const std::string& raw);

/// LXD's JSON form for volatile.idmap.*:
/// [{"Isuid":true,"Isgid":false,"Hostid":..,"Nsid":0,"Maprange":..},...].
std::string idmap_json(const sys::IdMap& map);
/// The reverse; "[]" is a privileged instance's. Errors: `internal`.
Result<sys::IdMap> idmap_from_json(const std::string& text);

/// The uid that creates an instance's user namespace: outside every container map, its own for each instance
/// of each state directory, because the kernel charges inotify instances to it (kernel-facts.md, inotify).
std::uint32_t owner_uid(const std::string& state_dir, std::int64_t instance_id, const sys::IdMap& map);

}  // namespace lxmgr::instances
