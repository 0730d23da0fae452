#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "lxd-daemon/sys/idmap.h"

namespace lxmgr::storage {

/// Rewrites ownership when a tree that carries the ids of one map is copied to carry those of another. Only
/// kernels or file systems without idmapped mounts need it.
class IdShift {
public:
    /// Null stands for 0-based ids, as volumes carry them normally. The maps must outlive this object.
    IdShift(const sys::IdMap* from, const sys::IdMap* to) : from_(from), to_(to) {}

    /// The new id of one on disk; ids outside the maps become 65534 (nobody).
    [[nodiscard]] std::uint32_t uid(std::uint32_t on_disk) const;
    [[nodiscard]] std::uint32_t gid(std::uint32_t on_disk) const;
    /// The new value of an extended attribute: those that hold ids are rewritten, POSIX ACLs and file
    /// capabilities (linux/posix_acl_xattr.h; struct vfs_ns_cap_data of linux/capability.h, whose rootid
    /// makes a capability work in the user namespace of that root only). Malformed values are kept.
    [[nodiscard]] std::string xattr(std::string_view name, std::string value) const;

private:
    [[nodiscard]] std::string acl(std::string value) const;
    [[nodiscard]] std::string capability(std::string value) const;

    const sys::IdMap* from_;
    const sys::IdMap* to_;
};

}  // namespace lxmgr::storage
