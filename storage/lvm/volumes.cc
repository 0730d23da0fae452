#include "storage/lvm/volumes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "storage/lvm/file_system.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

constexpr const char* kLvLink = "lv";
constexpr const char* kNewLvLink = "lv.new";
constexpr int kMountTries = 3;

Result<> sync_directory_of(int volume_fd) {
    LX_TRY_AS(const UniqueFd directory, reopen_directory(volume_fd));
    if (::fsync(directory.get()) != 0) return fail_errno_at("fsync", volume_fd, "");
    return {};
}

Result<std::uint64_t> used_bytes(int mount_fd) {
    LX_TRY_AS(const UniqueFd root, reopen_directory(mount_fd));
    if (::syncfs(root.get()) != 0) return fail_errno_at("syncfs", mount_fd, "");
    struct statvfs info{};
    if (::fstatvfs(root.get(), &info) != 0) return fail_errno_at("statvfs", mount_fd, "");
    return (info.f_blocks - info.f_bfree) * info.f_frsize;
}

bool lacks_device(const Error& error) {
    return error.sys_errno == ENOENT || error.sys_errno == ENXIO || error.sys_errno == ENODEV;
}

}  // namespace

Result<std::optional<LogicalVolume>> find_lv(int volume_fd) {
    std::string text(1024, '\0');
    const ssize_t n = ::readlinkat(volume_fd, kLvLink, text.data(), text.size());
    if (n < 0 && errno == ENOENT) return std::nullopt;
    if (n < 0) return fail_errno_at("readlink", volume_fd, kLvLink);
    text.resize(static_cast<std::size_t>(n));
    const auto parts = split(text, ':');
    const auto limit = parts.size() == 3 ? parse_uint(parts[2]) : std::nullopt;
    if (!limit) return fail(Status::internal, fmt::format("A volume's link 'lv' says '{}'", text));
    return LogicalVolume{parts[0], parts[1], *limit};
}

Result<LogicalVolume> read_lv(int volume_fd) {
    LX_TRY_AS(const auto found, find_lv(volume_fd));
    if (found) return *found;
    return fail(Status::internal, "A volume's directory names no logical volume");
}

Result<> write_lv(int volume_fd, const LogicalVolume& lv) {
    const std::string text = fmt::format("{}:{}:{}", lv.name, lv.file_system, lv.limit_bytes);
    if (::unlinkat(volume_fd, kNewLvLink, 0) != 0 && errno != ENOENT)
        return fail_errno_at("Removing", volume_fd, kNewLvLink);
    if (::symlinkat(text.c_str(), volume_fd, kNewLvLink) != 0)
        return fail_errno_at("symlink", volume_fd, kNewLvLink);
    if (::renameat(volume_fd, kNewLvLink, volume_fd, kLvLink) != 0)
        return fail_errno_at("Renaming to", volume_fd, kLvLink);
    return sync_directory_of(volume_fd);
}

std::string new_lv_name() { return "lxv_" + random_hex(12); }

std::uint64_t device_bytes(const Volume& volume) {
    if (volume.size_bytes != 0) return round_to_extents(volume.size_bytes);
    if (volume.like_source && volume.content_bytes != 0) return round_to_extents(volume.content_bytes);
    // With what the file system itself takes.
    const std::uint64_t content = volume.content_bytes + volume.content_bytes / 16 + (64U << 20U);
    return round_to_extents(volume.content_bytes == 0 ? kDefaultLvBytes : std::max(content, kDefaultLvBytes));
}

Result<std::vector<std::string>> LvmDirectories::remove(int parent_fd, const std::string& name,
                                                        const Interrupted& interrupted) const {
    const UniqueFd directory(
        ::openat(parent_fd, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (directory) {
        LX_TRY_AS(const auto lv, find_lv(directory.get()));
        if (lv) LX_TRY(remove_lv(group_, lv->name));
        failpoint("storage.lvm.removed");
    }
    return plain_directories().remove(parent_fd, name, interrupted);
}

Result<UniqueFd> mount_lv(const VolumeGroup& group, const LogicalVolume& lv, const std::string& options) {
    const std::string device = device_of(group, lv.name);
    for (int tries = 1;; ++tries) {
        // The name may be there still for a moment when the device is not.
        const bool activate = tries > 1 || !path_exists(device);
        if (activate) LX_TRY(activate_lv(group, lv.name));
        failpoint("storage.lvm.activated");
        auto mounted = mount_file_system(lv.file_system, device, group.is_thin(), options);
        // Its last user may just have ended, and the device with it.
        if (!mounted && lacks_device(mounted.error()) && tries < kMountTries) continue;
        if (activate) release_lv(group, lv.name);
        if (mounted) return mounted;
        return std::unexpected(in("Mounting a logical volume", std::move(mounted).error()));
    }
}

Result<UniqueFd> LvmVolumes::mount_tree(int volume_fd, const MountRequest& request) const {
    LX_TRY_AS(const auto lv, read_lv(volume_fd));
    return mount_lv(group_, lv, request.options.empty() ? defaults_.mount_options : request.options);
}

Result<Contents> LvmVolumes::open(int volume_fd) const {
    LX_TRY_AS(UniqueFd mounted, mount_tree(volume_fd, {}));
    return Contents{std::move(mounted), true};
}

Result<Contents> LvmVolumes::begin(const Draft& draft, const Volume& volume) const {
    const std::string type = volume.file_system.empty() ? defaults_.file_system : volume.file_system;
    const std::uint64_t bytes = device_bytes(volume);
    if (auto checked = check_file_system(type, bytes); !checked)
        return std::unexpected(in(describe(volume), std::move(checked).error()));
    const LogicalVolume lv{new_lv_name(), type, volume.size_bytes};
    LX_TRY(write_lv(draft.fd(), lv));
    failpoint("storage.lvm.begin.named");
    const Stripes stripes{volume.stripes.count != 0 ? volume.stripes.count : defaults_.stripes.count,
                          volume.stripes.bytes != 0 ? volume.stripes.bytes : defaults_.stripes.bytes};
    if (auto made = create_lv(group_, lv.name, {bytes, group_.is_thin(), stripes}); !made)
        return std::unexpected(in(describe(volume), std::move(made).error()));
    failpoint("storage.lvm.begin.made");
    LX_TRY(make_file_system(type, device_of(group_, lv.name), group_.is_thin()));
    LX_TRY_AS(Contents contents, open(draft.fd()));
    release_lv(group_, lv.name);
    // It would be a file of the guest's; fsck makes it when it has to.
    if (::unlinkat(contents.directory.get(), "lost+found", AT_REMOVEDIR) != 0 && errno != ENOENT)
        return fail_errno_at("Removing", contents.directory.get(), "lost+found");
    return contents;
}

Result<> LvmVolumes::finish(const Draft&, const Volume&, const Contents& contents) const {
    LX_TRY_AS(const UniqueFd root, reopen_directory(contents.directory.get()));
    if (::syncfs(root.get()) != 0) return fail_errno_at("syncfs", root.get(), "");
    return {};
}

Error LvmVolumes::explain(const Volume& volume, const Contents& contents, Error error) const {
    struct statvfs info{};
    const bool full = ::fstatvfs(contents.directory.get(), &info) == 0 &&
                      info.f_bavail * info.f_frsize < info.f_blocks * info.f_frsize / 64;
    if (!full && error.sys_errno != ENOSPC) return error;
    if (!full && volume.size_bytes == 0) return error;
    Volume sized = volume;
    sized.size_bytes = device_bytes(volume);
    return does_not_fit(sized);
}

Result<std::uint64_t> LvmVolumes::limit(int volume_fd) const {
    LX_TRY_AS(const auto lv, read_lv(volume_fd));
    return lv.limit_bytes;
}

Result<std::optional<std::uint64_t>> LvmVolumes::usage(int volume_fd) const {
    LX_TRY_AS(const Contents contents, open(volume_fd));
    LX_TRY_AS(const auto used, used_bytes(contents.directory.get()));
    return used;
}

Result<> LvmVolumes::flush(const LogicalVolume& lv) const {
    if (lv.file_system != "btrfs" || !path_exists(device_of(group_, lv.name))) return {};
    LX_TRY_AS(const UniqueFd mounted, mount_lv(group_, lv, defaults_.mount_options));
    LX_TRY_AS(const UniqueFd root, reopen_directory(mounted.get()));
    if (::syncfs(root.get()) != 0) return fail_errno_at("syncfs", mounted.get(), "");
    return {};
}

Result<> LvmVolumes::grow(const LogicalVolume& lv, std::uint64_t now_bytes, std::uint64_t bytes) const {
    if (bytes > now_bytes) LX_TRY(extend_lv(group_, lv.name, bytes));
    failpoint("storage.lvm.grow.extended");
    LX_TRY_AS(const UniqueFd mounted, mount_lv(group_, lv, defaults_.mount_options));
    return grow_file_system(lv.file_system, mounted.get(), std::max(now_bytes, bytes));
}

Result<bool> LvmVolumes::change(const Volume& volume, int volume_fd) const {
    LX_TRY_AS(LogicalVolume lv, read_lv(volume_fd));
    const std::uint64_t wanted = device_bytes(volume);
    if (lv.limit_bytes == volume.size_bytes && volume.content_bytes == 0 && volume.size_bytes == 0)
        return true;
    LX_TRY(check_file_system(lv.file_system, wanted));
    LX_TRY_AS(const std::uint64_t now, lv_bytes(group_, lv.name));
    // One that is spread over several devices is larger than was asked for, by less than its unit.
    std::uint64_t rest = 0;
    if (wanted < now) {
        LX_TRY_AS(rest, lv_unit_bytes(group_, lv.name));
    }
    if (wanted + rest <= now && wanted < now) {
        if (volume.size_bytes == 0) {
            lv.limit_bytes = 0;
            LX_TRY(write_lv(volume_fd, lv));
            return true;
        }
        LX_TRY_AS(const auto used, usage(volume_fd));
        if (used.value_or(0) > volume.size_bytes) return too_large(volume, *used);
        return false;
    }
    // Also where the device has that size: a crash may have come before its file system grew.
    LX_TRY(grow(lv, now, wanted));
    lv.limit_bytes = volume.size_bytes;
    LX_TRY(write_lv(volume_fd, lv));
    return true;
}

}  // namespace lxmgr::storage
