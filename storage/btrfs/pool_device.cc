#include "storage/btrfs/pool_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstring>
#include <tuple>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/loop_device.h"
#include "lxd-daemon/sys/mount.h"
#include "storage/btrfs/mount_options.h"
#include "storage/pool_directory.h"
#include "storage/pool_file.h"

namespace lxmgr::storage {
namespace {

constexpr std::uint64_t kSmallestPool = 128U << 20U;  // mkfs.btrfs wants 109 MiB
constexpr const char* kDefaultOptions = "user_subvol_rm_allowed";

std::string label_of(const PoolConfig& config) { return "lxmgr-" + config.name; }

/// mkfs refuses a device that holds another file system: nothing of a user's is ever overwritten.
Result<> format_device(const PoolConfig& config, const std::string& path) {
    auto made = run_checked({{"mkfs.btrfs", "-q", "-L", label_of(config), path}});
    if (made) return {};
    Error error = in(fmt::format("Formatting {}", path), std::move(made).error());
    if (error.message.find("force overwrite") != std::string::npos)
        error.message = fmt::format(
            "{} holds a file system or partitions: empty it first (wipefs, or source.wipe=true)", path);
    if (error.status == Status::not_found)
        error.message = "mkfs.btrfs is not installed (Debian: btrfs-progs)";
    error.status = Status::bad_request;
    return std::unexpected(std::move(error));
}

std::string mount_options_of(const PoolConfig& config) {
    const std::string given = api::value_of(config.config, "btrfs.mount_options");
    return given.empty() ? kDefaultOptions : given;
}

Result<> mount_btrfs(const PoolConfig& config, const std::string& device) {
    LX_TRY_AS(auto context, sys::FsContext::open("btrfs"));
    LX_TRY(context.set("source", device));
    auto set = set_mount_options(context, mount_options_of(config));
    if (!set) return bad_pool(config, "btrfs.mount_options: " + set.error().message);
    LX_TRY(context.create());
    LX_TRY_AS(const UniqueFd mounted, context.mount(*set));
    LX_TRY_AS(auto attached, sys::attach_mount(mounted.get(), config.path));
    attached.keep();
    failpoint("storage.btrfs.mounted");
    return {};
}

/// Only what this pool has formatted: a user's device may hold anything when it was never ours.
Result<> wipe(const PoolConfig& config, const std::string& device) {
    const auto label = run_checked({{"btrfs", "filesystem", "label", device}});
    if (!label || trim(*label) != label_of(config)) return {};
    // Refused while somebody still reads a deleted volume: then the device keeps its label, and the next pool
    // on it is told so.
    std::ignore = run_checked({{"wipefs", "-q", "-a", device}});
    return {};
}

}  // namespace

Result<PoolSource> pool_source_of(const PoolConfig& config) {
    const std::string source = api::value_of(config.config, "source");
    if (source.empty() || source == own_pool_file(config))
        return PoolSource{PoolKind::file, own_pool_file(config)};
    LX_TRY(PoolDirectory::check(config));
    struct stat st{};
    if (::stat(source.c_str(), &st) != 0)
        return bad_pool(config, fmt::format("source {} does not exist", source));
    if (S_ISBLK(st.st_mode)) return PoolSource{PoolKind::device, source};
    if (S_ISDIR(st.st_mode)) return PoolSource{PoolKind::directory, source};
    return bad_pool(config, fmt::format("source {} is neither a block device nor a directory", source));
}

Result<> prepare_pool(PoolConfig& config) {
    LX_TRY_AS(const auto source, pool_source_of(config));
    if (source.kind != PoolKind::file && !api::value_of(config.config, "size").empty())
        return bad_pool(config, "size is only for a pool in a file of its own, without source");
    LX_TRY(wipe_if_asked(config, source.kind == PoolKind::device ? source.path : ""));
    if (source.kind == PoolKind::directory) {
        const UniqueFd fd(::open(source.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!fd) return fail_errno("Opening", source.path);
        LX_TRY_AS(const auto magic, sys::file_system_magic(fd.get()));
        if (magic != BTRFS_SUPER_MAGIC)
            return bad_pool(config, fmt::format("{} is not on btrfs", source.path));
        return {};
    }
    if (source.kind == PoolKind::file) LX_TRY(make_pool_file(config, kSmallestPool));
    if (auto formatted = format_device(config, source.path); !formatted) {
        if (source.kind == PoolKind::file) ::unlink(source.path.c_str());
        return formatted;
    }
    failpoint("storage.btrfs.prepare.formatted");
    return {};
}

Result<> mount_pool(const PoolConfig& config) {
    LX_TRY_AS(const auto source, pool_source_of(config));
    if (source.kind == PoolKind::directory) return {};
    LX_TRY(make_directories(config.path, 0711));
    if (is_mount_point(config.path)) return {};
    if (source.kind == PoolKind::device) return mount_btrfs(config, source.path);
    LX_TRY_AS(const UniqueFd file, open_pool_file(source.path));
    LX_TRY_AS(const auto device, sys::open_loop_device(file.get()));
    LX_TRY(mount_btrfs(config, device.path));
    return grow_pool(config);
}

Result<> discard_pool(const PoolConfig& config) {
    const auto source = pool_source_of(config);
    if (source && source->kind == PoolKind::directory) return {};
    // Lazily: whoever still looks at a deleted volume ends by and by.
    LX_TRY(unmount_pool(config.path));
    failpoint("storage.btrfs.discard.unmounted");
    if (source && source->kind == PoolKind::device) LX_TRY(wipe(config, source->path));
    const std::string file = own_pool_file(config);
    const bool is_file = !source || source->kind == PoolKind::file;
    if (is_file && ::unlink(file.c_str()) != 0 && errno != ENOENT) return fail_errno("Removing", file);
    failpoint("storage.btrfs.discard.file");
    if (::rmdir(config.path.c_str()) != 0 && errno != ENOENT) return fail_errno("Removing", config.path);
    return {};
}

Result<> grow_pool(const PoolConfig& config) {
    LX_TRY_AS(const auto source, pool_source_of(config));
    if (source.kind != PoolKind::file) return {};
    LX_TRY_AS(const UniqueFd file, open_pool_file(source.path));
    LX_TRY(lengthen_pool_file(config, file.get()));
    const UniqueFd root(::open(config.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct statvfs info{};
    if (!root || ::fstatvfs(root.get(), &info) != 0) return fail_errno("statvfs", config.path);
    // Always compared with the file system: a crash may have come after the file grew.
    if (info.f_blocks * info.f_frsize + (std::uint64_t{1} << 20U) > config.size_bytes) return {};
    LX_TRY_AS(const auto device, sys::open_loop_device(file.get()));
    LX_TRY(sys::refresh_loop_size(device));
    btrfs_ioctl_vol_args args{};
    std::memcpy(args.name, "max", sizeof "max");
    if (::ioctl(root.get(), BTRFS_IOC_RESIZE, &args) < 0) return fail_errno("Growing", config.path);
    return {};
}

Result<> remount_pool(const PoolConfig& before, const PoolConfig& after) {
    LX_TRY_AS(const auto source, pool_source_of(after));
    if (source.kind == PoolKind::directory)
        return bad_pool(after, "btrfs.mount_options is only for what the pool mounts itself");
    const std::string options = remount_options(mount_options_of(before), mount_options_of(after));
    LX_TRY_AS(auto context, sys::FsContext::pick(after.path, "btrfs"));
    auto attributes = set_mount_options(context, options);
    if (!attributes) return bad_pool(after, "btrfs.mount_options: " + attributes.error().message);
    if (auto changed = context.reconfigure(); !changed)
        return bad_pool(after, "btrfs.mount_options: " + changed.error().message);
    // Those of the mount itself; it has no others.
    LX_TRY(sys::set_mount_attributes(after.path, kMountOptionAttributes, *attributes));
    return {};
}

}  // namespace lxmgr::storage
