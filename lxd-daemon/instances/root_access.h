#pragma once
#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/instances/files.h"
#include "lxd-daemon/sys/credentials.h"

/// Private to the room: what the files API and SFTP do alike beneath an instance's root.
namespace lxmgr::instances {

constexpr mode_t kModeBits = 07777;

/// The instance's own id of what the host shows; 65534 for one that has none.
std::uint32_t instance_id(const std::vector<sys::IdRange>& ranges, std::uint32_t host);
std::uint32_t host_uid(const InstanceRoot& root, std::uint32_t uid);
std::uint32_t host_gid(const InstanceRoot& root, std::uint32_t gid);

/// Directory part and last component: "/a/b" gives "/a" and "b". The last component is never "", "." or "..".
Result<std::pair<std::string, std::string>> split_last(const std::string& path);
/// `not_found` as clients are told of it, whatever component is missing.
std::unexpected<Error> reword(Error error);
Result<struct stat> stat_of(int fd, const std::string& path);
/// What others than owner and group may do with an inode, as in its mode; `change`: owner, mode and times.
enum Wanted : unsigned { read = 4, write = 2, search = 1, change = 8 };
/// Whether root of the instance may do so itself: its capabilities count only where its map has the owner and
/// the group (user_namespaces(7)). What else is there, on a disk of the host's, a link of a guest's user must
/// not lead us to. Errors: `forbidden`.
Result<> require_access(const InstanceRoot& root, int fd, unsigned wanted, const std::string& path);
/// O_PATH handle of the object itself, not of what a symlink points to.
Result<UniqueFd> open_object(const InstanceRoot& root, const std::string& path);
/// A usable descriptor of what an O_PATH handle refers to: no second walk, so nothing can change in between.
Result<UniqueFd> reopen(int handle, int flags, const std::string& path);
/// The same of what the instance may open so.
Result<UniqueFd> reopen_allowed(const InstanceRoot& root, int handle, int flags, const std::string& path);
/// Of what is to be made, removed or renamed.
Result<UniqueFd> open_parent(const InstanceRoot& root, const std::string& dir);
/// Where the symlink leads, by its O_PATH handle.
Result<std::string> link_of(int handle, const std::string& path);
/// Owner and mode as far as they are given. Order matters: chown(2) clears setuid bits.
Result<> apply_ownership(const InstanceRoot& root, int fd, const Ownership& ownership,
                         const std::string& path);
/// A new regular file, opened for writing; an existing one is taken as it is. Follows a dangling symlink
/// inside the root, as open(2) in the instance would.
Result<UniqueFd> create_file(const InstanceRoot& root, const std::string& path, const Ownership& ownership,
                             int flags = 0);

/// Another mount namespace may take away what mounts stand on, and they are gone without EBUSY: bad_request
/// for the place of a mount of the instance's. What is not there is no such place.
Result<> refuse_mount_point(int parent, const std::string& name, const std::string& path);

/// Runs `work` as the instance's user, so that what it makes belongs to it; ids on disk need no such help.
/// Names too are made so: on an idmapped mount the kernel refuses users that its map does not have
/// (EOVERFLOW).
template <typename Work>
auto as_owner(const InstanceRoot& root, const Ownership& ownership, const Work& work) -> decltype(work()) {
    const auto ids = sys::ScopedFsIds::become(host_uid(root, ownership.uid.value_or(0)),
                                              host_gid(root, ownership.gid.value_or(0)));
    if (!ids) return std::unexpected(ids.error());
    return work();
}

}  // namespace lxmgr::instances
