#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// Mounts as descriptors, mount_setattr(2) and the fsopen(2) family: Linux 5.12, see the single functions for
/// more. A detached mount is gone when its descriptor is closed, so an unfinished start leaves none behind.
namespace lxmgr::sys {

/// Owns one attached mount: unmounts it lazily (MNT_DETACH) unless keep() handed it to its long-term owner.
class MountGuard {
public:
    MountGuard() = default;
    explicit MountGuard(std::string target) : target_(std::move(target)) {}
    MountGuard(MountGuard&& other) noexcept : target_(std::exchange(other.target_, {})) {}
    MountGuard& operator=(MountGuard&& other) noexcept;
    ~MountGuard() { unmount(); }
    /// Where it is mounted; empty after keep() or unmount().
    [[nodiscard]] const std::string& target() const { return target_; }
    void keep() noexcept { target_.clear(); }
    void unmount() noexcept;

private:
    std::string target_;
};

/// open_tree(OPEN_TREE_CLONE): a detached clone of the mount at `path` (relative to dir_fd; "" means dir_fd
/// itself). Its propagation is made private, since on systemd hosts / is shared and a clone would keep its
/// peer group, which pivot_root(2) refuses. Errors: `not_found` for ENOENT, else `internal` with errno.
Result<UniqueFd> clone_mount(int dir_fd, const std::string& path, bool recursive = false);

/// Maps the ids of a detached mount: ids on disk are those of the namespace. Works once per mount.
/// Linux 5.12, and the file system must know it (ext4, xfs, btrfs, squashfs, erofs, tmpfs 6.3, overlay
/// layers 5.19): else EINVAL.
Result<> set_idmap(int mount_fd, int user_namespace_fd);

/// mount_setattr(2): sets and clears MOUNT_ATTR_* flags of a mount.
Result<> change_attributes(int mount_fd, std::uint64_t set, std::uint64_t clear, bool recursive = false);
/// As clone_mount() of what the descriptor refers to, but still in the peer group of its original.
Result<UniqueFd> clone_linked_mount(int fd, bool recursive);
/// MS_PRIVATE, MS_SHARED, MS_SLAVE or MS_UNBINDABLE.
Result<> set_propagation(int mount_fd, std::uint64_t propagation, bool recursive);
/// MS_PRIVATE for a mount, or a tree of them.
Result<> make_private(int mount_fd, bool recursive = true);

/// move_mount(2): attaches a detached mount at an absolute host path of the daemon's own (never one that an
/// instance can influence: use attach_at() for those).
Result<MountGuard> attach_mount(int mount_fd, const std::string& target);
/// The same onto an open directory or file.
Result<> attach_at(int mount_fd, int target_fd);

/// A file system being configured, fsopen(2). Kernel messages are part of the errors.
class FsContext {
public:
    /// Errors: `internal` with errno; ENODEV when the kernel does not know the file system.
    static Result<FsContext> open(const std::string& type);
    /// Of what is mounted at a path (fspick(2)), for reconfigure().
    static Result<FsContext> pick(const std::string& path, const std::string& type);
    Result<> set(const std::string& key, const std::string& value);
    Result<> set_flag(const std::string& key);
    /// FSCONFIG_SET_FD. Overlay layers given this way need Linux 6.13.
    Result<> set_fd(const std::string& key, int fd);
    /// FSCONFIG_CMD_CREATE. To make an overlay whose work directory is idmapped, hold a ScopedFsIds of the
    /// container's root: as uid 0 the kernel cannot create there and silently falls back to a read-only mount
    /// (docs/explanation/kernel-facts.md, idmapped mounts).
    Result<> create();
    /// FSCONFIG_CMD_RECONFIGURE: what was set holds at once, for every mount of the file system.
    Result<> reconfigure();
    /// fsmount(2): the detached mount, private. `attributes` are MOUNT_ATTR_* flags.
    Result<UniqueFd> mount(unsigned attributes = 0);
    /// What the kernel said since the last call, lines joined by "; ": warnings are here too, also after
    /// success.
    std::string messages();

private:
    FsContext(UniqueFd fd, std::string type) : fd_(std::move(fd)), type_(std::move(type)) {}
    std::unexpected<Error> failed(std::string_view what, std::string_view key);
    UniqueFd fd_;
    std::string type_;
};

/// Of the mount at a path: `attributes` of MOUNT_ATTR_* in place of what it has of those that `changed`
/// names.
Result<> set_mount_attributes(const std::string& path, std::uint64_t changed, std::uint64_t attributes);

/// f_type of statfs(2) of what the descriptor refers to, O_PATH will do.
Result<std::int64_t> file_system_magic(int fd);

}  // namespace lxmgr::sys
