#include "storage/btrfs/qgroups.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>

#include <cstring>
#include <optional>

#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

struct Qgroup {
    std::uint64_t referenced = 0, exclusive = 0, max_referenced = 0;
};

/// Items of one type of a qgroup, in the tree of quotas; nullopt: none, or quotas are off.
template <typename Item>
Result<std::optional<Item>> find_item(int fd, std::uint64_t subvolume, std::uint32_t type) {
    btrfs_ioctl_search_args args{};
    args.key = {};
    args.key.tree_id = BTRFS_QUOTA_TREE_OBJECTID;
    args.key.min_type = args.key.max_type = type;
    args.key.min_offset = args.key.max_offset = subvolume;  // level 0: the id is the subvolume's
    args.key.max_transid = UINT64_MAX;
    args.key.nr_items = 1;
    if (::ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args) != 0) {
        if (errno == ENOENT) return std::nullopt;
        return fail_errno_at("TREE_SEARCH", fd, "");
    }
    btrfs_ioctl_search_header header{};
    if (args.key.nr_items == 0) return std::nullopt;
    std::memcpy(&header, args.buf, sizeof header);
    if (header.type != type || header.offset != subvolume || header.len < sizeof(Item)) return std::nullopt;
    Item item{};
    std::memcpy(&item, args.buf + sizeof header, sizeof item);
    return item;
}

Result<std::uint64_t> subvolume_id(int fd) {
    btrfs_ioctl_ino_lookup_args args{};
    args.objectid = BTRFS_FIRST_FREE_OBJECTID;
    if (::ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args) != 0) return fail_errno_at("INO_LOOKUP", fd, "");
    return args.treeid;
}

/// nullopt: nothing is counted.
Result<std::optional<Qgroup>> qgroup_of(int fd) {
    LX_TRY_AS(const auto id, subvolume_id(fd));
    LX_TRY_AS(const auto info, find_item<btrfs_qgroup_info_item>(fd, id, BTRFS_QGROUP_INFO_KEY));
    if (!info) return std::nullopt;
    Qgroup out;
    out.referenced = info->rfer;
    out.exclusive = info->excl;
    LX_TRY_AS(const auto limit, find_item<btrfs_qgroup_limit_item>(fd, id, BTRFS_QGROUP_LIMIT_KEY));
    if (limit && (limit->flags & BTRFS_QGROUP_LIMIT_MAX_RFER) != 0) out.max_referenced = limit->max_rfer;
    return out;
}

/// And waits until everything has been counted.
Result<> enable_quotas(int fd) {
    btrfs_ioctl_quota_ctl_args args{};
    args.cmd = BTRFS_QUOTA_CTL_ENABLE;
    if (::ioctl(fd, BTRFS_IOC_QUOTA_CTL, &args) != 0) return fail_errno_at("Enabling quotas on", fd, "");
    if (::ioctl(fd, BTRFS_IOC_QUOTA_RESCAN_WAIT) != 0) return fail_errno_at("Counting for quotas on", fd, "");
    return {};
}

Result<> set_limit(int fd, std::uint64_t bytes) {
    // From outside: what has reached its limit has no room for the change of it either.
    const UniqueFd outside(::openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!outside) return fail_errno_at("Opening", fd, "..");
    btrfs_ioctl_qgroup_limit_args args{};
    LX_TRY_AS(args.qgroupid, subvolume_id(fd));
    args.lim.flags = BTRFS_QGROUP_LIMIT_MAX_RFER;
    args.lim.max_rfer = bytes == 0 ? UINT64_MAX : bytes;  // UINT64_MAX takes a limit away
    if (::ioctl(outside.get(), BTRFS_IOC_QGROUP_LIMIT, &args) == 0) return {};
    if (errno != ENOTCONN && errno != ENOENT && errno != EINVAL)
        return fail_errno_at("Setting the quota of", fd, "");
    if (bytes == 0) return {};
    LX_TRY(enable_quotas(outside.get()));
    if (::ioctl(outside.get(), BTRFS_IOC_QGROUP_LIMIT, &args) != 0)
        return fail_errno_at("Setting the quota of", fd, "");
    return {};
}

/// Counts what is only in memory.
Result<> commit(int fd) {
    if (::ioctl(fd, BTRFS_IOC_SYNC) != 0) return fail_errno_at("Syncing", fd, "");
    return {};
}

}  // namespace

Result<Contents> QgroupLimits::begin(const Draft& draft, const Volume& volume) const {
    if (volume.size_bytes != 0) LX_TRY(set_limit(draft.fd(), volume.size_bytes));
    return open_contents(draft.fd());
}

Result<> QgroupLimits::finish(const Draft&, const Volume&, const Contents&) const { return {}; }

Error QgroupLimits::explain(const Volume& volume, const Contents&, Error error) const {
    if (error.sys_errno != EDQUOT || volume.size_bytes == 0) return error;
    return does_not_fit(volume);
}

Result<std::uint64_t> QgroupLimits::limit(int volume_fd) const {
    LX_TRY_AS(const UniqueFd fd, reopen_directory(volume_fd));
    LX_TRY_AS(const auto group, qgroup_of(fd.get()));
    return group ? group->max_referenced : 0;
}

Result<std::optional<std::uint64_t>> QgroupLimits::usage(int volume_fd) const {
    LX_TRY_AS(const UniqueFd fd, reopen_directory(volume_fd));
    LX_TRY_AS(const auto group, qgroup_of(fd.get()));
    if (!group) return std::nullopt;
    return group->max_referenced != 0 ? group->referenced : group->exclusive;
}

Result<bool> QgroupLimits::change(const Volume& volume, int volume_fd) const {
    LX_TRY_AS(const UniqueFd fd, reopen_directory(volume_fd));
    LX_TRY_AS(const std::uint64_t before, limit(volume_fd));
    if (before == volume.size_bytes) return true;
    if (volume.size_bytes != 0) {
        LX_TRY(commit(fd.get()));
        LX_TRY_AS(auto group, qgroup_of(fd.get()));
        if (!group) {
            LX_TRY(enable_quotas(fd.get()));
            LX_TRY_AS(group, qgroup_of(fd.get()));
        }
        if (group && group->referenced > volume.size_bytes) return too_large(volume, group->referenced);
    }
    LX_TRY(set_limit(fd.get(), volume.size_bytes));
    return true;
}

}  // namespace lxmgr::storage
