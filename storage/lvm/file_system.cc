#include "storage/lvm/file_system.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/sys/mount.h"
#include "storage/pool_file.h"
#include "storage/tree/list.h"

#ifndef EXT4_IOC_RESIZE_FS
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, __u64)  // fs/ext4/ext4.h; no header of user space has it
#endif

namespace lxmgr::storage {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

struct FileSystem {
    std::string_view type;
    std::uint64_t smallest_bytes;  ///< what its mkfs takes
    const char* package;
};
constexpr std::array kFileSystems = {FileSystem{"btrfs", 128 * kMiB, "btrfs-progs"},
                                     FileSystem{"ext4", 8 * kMiB, "e2fsprogs"},
                                     FileSystem{"xfs", 300 * kMiB, "xfsprogs"}};

const FileSystem* find_file_system(const std::string& type) {
    const auto* const found = std::ranges::find(kFileSystems, std::string_view(type), &FileSystem::type);
    return found == kFileSystems.end() ? nullptr : found;
}

std::vector<std::string> mkfs_command(const std::string& type, const std::string& device, bool thin) {
    if (type == "btrfs") return {"mkfs.btrfs", "-q", "-f", "-K", device};
    if (type == "xfs") return {"mkfs.xfs", "-q", "-f", "-K", device};
    // No blocks kept for root, who is nobody special in there.
    return {"mkfs.ext4",
            "-q",
            "-F",
            "-m",
            "0",
            "-E",
            fmt::format("lazy_itable_init={0},lazy_journal_init={0},nodiscard,root_owner=0:0", thin ? 1 : 0),
            device};
}

/// struct xfs_growfs_data of xfsprogs' xfs_fs.h.
struct XfsGrow {
    std::uint64_t blocks;
    std::uint32_t inode_percent;
};
constexpr std::uint32_t kXfsInodePercent = 25;  // mkfs.xfs's below 1 TiB

Result<> grow_by_ioctl(const std::string& type, int fd, std::uint64_t blocks) {
    if (type == "btrfs") {
        btrfs_ioctl_vol_args args{};
        std::memcpy(args.name, "max", sizeof "max");
        if (::ioctl(fd, BTRFS_IOC_RESIZE, &args) < 0) return fail_errno_at("BTRFS_IOC_RESIZE", fd, "");
        return {};
    }
    if (type == "xfs") {
        XfsGrow grow{blocks, kXfsInodePercent};
        if (::ioctl(fd, _IOW('X', 110, XfsGrow), &grow) != 0)
            return fail_errno_at("XFS_IOC_FSGROWFSDATA", fd, "");
        return {};
    }
    if (::ioctl(fd, EXT4_IOC_RESIZE_FS, &blocks) != 0) return fail_errno_at("EXT4_IOC_RESIZE_FS", fd, "");
    return {};
}

}  // namespace

Result<> check_file_system(const std::string& type, std::uint64_t bytes) {
    const auto* const found = find_file_system(type);
    if (found == nullptr)
        return fail(Status::bad_request,
                    fmt::format("block.filesystem '{}' is not supported: use ext4, xfs or btrfs", type));
    if (bytes >= found->smallest_bytes) return {};
    return fail(Status::bad_request,
                fmt::format("A volume of {} must have at least {}MiB", type, found->smallest_bytes / kMiB));
}

Result<> make_file_system(const std::string& type, const std::string& device, bool thin) {
    auto made = run_checked({mkfs_command(type, device, thin)});
    if (made) return {};
    if (made.error().status != Status::not_found)
        return std::unexpected(in("Formatting " + device, std::move(made).error()));
    return fail(Status::bad_request,
                fmt::format("mkfs.{} is not installed (Debian: {})", type, find_file_system(type)->package));
}

Result<> renew_identity(const std::string& type, const std::string& device) {
    if (type != "btrfs") return {};
    auto renewed = run_checked({{"btrfstune", "-f", "-m", device}});
    if (renewed) return {};
    return std::unexpected(in("Giving a copy of btrfs its own id", std::move(renewed).error()));
}

Result<UniqueFd> mount_file_system(const std::string& type, const std::string& device, bool thin,
                                   const std::string& options) {
    LX_TRY_AS(auto context, sys::FsContext::open(type));
    LX_TRY(context.set("source", device));
    if (type == "xfs") LX_TRY(context.set_flag("nouuid"));  // a snapshot has its source's
    if (type == "ext4" && thin) LX_TRY(context.set_flag("noinit_itable"));
    const auto set = set_mount_options(context, options);
    if (!set) {
        Error error = in(fmt::format("block.mount_options '{}'", options), set.error());
        error.status = Status::bad_request;
        return std::unexpected(std::move(error));
    }
    LX_TRY(context.create());
    return context.mount(*set);
}

Result<> grow_file_system(const std::string& type, int mount_fd, std::uint64_t bytes) {
    LX_TRY_AS(const UniqueFd root, reopen_directory(mount_fd));
    struct statfs info{};
    if (::fstatfs(root.get(), &info) != 0) return fail_errno_at("statfs", mount_fd, "");
    // The size that statfs(2) shows is without the file system's own; xfs and btrfs refuse what changes
    // nothing, or do it.
    auto grown = grow_by_ioctl(type, root.get(), bytes / static_cast<std::uint64_t>(info.f_bsize));
    if (!grown) return std::unexpected(in("Growing a volume's file system", std::move(grown).error()));
    return {};
}

}  // namespace lxmgr::storage
