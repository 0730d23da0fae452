#include "storage/pool_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/stat.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::storage {
namespace {

constexpr std::uint64_t kGiB = 1U << 30U;
constexpr std::uint64_t kRoomToGrow = 16U << 20U;

/// As LXD: a fifth of what is free, from 5 to 30 GiB.
Result<std::uint64_t> default_size(const std::string& directory) {
    struct statvfs info{};
    if (::statvfs(directory.c_str(), &info) != 0) return fail_errno("statvfs", directory);
    const std::uint64_t gib = info.f_bavail * info.f_frsize / 5 / kGiB;
    return std::clamp<std::uint64_t>(gib, 5, 30) * kGiB;
}

struct MountAttribute {
    std::string_view name;
    unsigned flag;
};
constexpr std::array kMountAttributes = {
    MountAttribute{"noatime", MOUNT_ATTR_NOATIME},         MountAttribute{"nodev", MOUNT_ATTR_NODEV},
    MountAttribute{"nodiratime", MOUNT_ATTR_NODIRATIME},   MountAttribute{"noexec", MOUNT_ATTR_NOEXEC},
    MountAttribute{"nosuid", MOUNT_ATTR_NOSUID},           MountAttribute{"relatime", MOUNT_ATTR_RELATIME},
    MountAttribute{"strictatime", MOUNT_ATTR_STRICTATIME},
};

}  // namespace

std::string own_pool_file(const PoolConfig& config) {
    const auto state = std::filesystem::path(config.path).parent_path().parent_path();
    return (state / "disks" / (config.name + ".img")).string();
}

std::unexpected<Error> bad_pool(const PoolConfig& config, const std::string& why) {
    return fail(Status::bad_request, fmt::format("Storage pool '{}': {}", config.name, why));
}

Result<bool> pool_flag(const PoolConfig& config, const char* key, bool fallback) {
    const std::string given = api::value_of(config.config, key);
    const auto is_one_of = [&given](const auto& words) {
        return std::ranges::find(words, given) != words.end();
    };
    if (given.empty()) return fallback;
    if (is_one_of(std::array{"true", "1", "yes", "on"})) return true;
    if (is_one_of(std::array{"false", "0", "no", "off"})) return false;
    return bad_pool(config, fmt::format("{} '{}' is neither true nor false", key, given));
}

Result<> wipe_if_asked(PoolConfig& config, const std::string& device) {
    LX_TRY_AS(const bool asked, pool_flag(config, "source.wipe", false));
    config.config.erase("source.wipe");
    if (!asked) return {};
    if (device.empty()) return bad_pool(config, "source.wipe is only for a source that is a block device");
    // It opens the device for itself alone: what is mounted, or part of something active, is refused.
    const auto wiped = run_checked({{"wipefs", "-q", "-a", device}});
    if (wiped) return {};
    return bad_pool(config, fmt::format("source.wipe cannot empty {}: {}", device, wiped.error().message));
}

Result<> make_pool_file(PoolConfig& config, std::uint64_t smallest) {
    const std::string path = own_pool_file(config);
    const std::string directory = std::filesystem::path(path).parent_path().string();
    LX_TRY(make_directories(directory, 0700));
    if (api::value_of(config.config, "size").empty()) {
        LX_TRY_AS(const auto bytes, default_size(directory));
        config.config["size"] = fmt::format("{}GiB", bytes / kGiB);
        config.size_bytes = bytes;
    }
    if (config.size_bytes < smallest)
        return bad_pool(config, fmt::format("size must be at least {}MiB", smallest >> 20U));
    const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return fail_errno("Creating", path);
    failpoint("storage.pool_file.made");
    if (::ftruncate(file.get(), static_cast<off_t>(config.size_bytes)) != 0) {
        auto error = fail_errno("ftruncate", path);
        ::unlink(path.c_str());
        return error;
    }
    config.config["source"] = path;
    return {};
}

Result<UniqueFd> open_pool_file(const std::string& path) {
    UniqueFd file(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    if (!file) return fail_errno("Opening", path);
    return file;
}

Result<bool> lengthen_pool_file(const PoolConfig& config, int file_fd) {
    const std::uint64_t bytes = config.size_bytes;
    struct stat st{};
    if (::fstat(file_fd, &st) != 0) return fail_errno("fstat", own_pool_file(config));
    const auto now = static_cast<std::uint64_t>(st.st_size);
    if (bytes == now || bytes == 0) return false;  // 0: a pool that was found again, whose row is lost
    if (bytes < now) return bad_pool(config, "a pool cannot be made smaller");
    struct statvfs info{};
    if (::fstatvfs(file_fd, &info) != 0) return fail_errno("statvfs", own_pool_file(config));
    if (info.f_bavail * info.f_frsize < kRoomToGrow) {
        errno = ENOSPC;
        return fail_errno(fmt::format("Storage pool '{}': lengthening", config.name), own_pool_file(config));
    }
    if (::ftruncate(file_fd, static_cast<off_t>(bytes)) != 0)
        return fail_errno("ftruncate", own_pool_file(config));
    failpoint("storage.pool_file.longer");
    return true;
}

bool is_mount_point(const std::string& path) {
    struct statx info{};
    if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &info) != 0)
        return false;
    return (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<> unmount_pool(const std::string& path) {
    while (is_mount_point(path)) {
        if (::umount2(path.c_str(), MNT_DETACH) != 0) return fail_errno("umount", path);
    }
    return {};
}

Result<unsigned> set_mount_options(sys::FsContext& context, const std::string& options) {
    unsigned attributes = 0;
    for (const auto& option : split(options, ',')) {
        if (option.empty()) continue;
        const auto* const of_mount = std::ranges::find(kMountAttributes, option, &MountAttribute::name);
        if (of_mount != kMountAttributes.end()) {
            attributes |= of_mount->flag;
            continue;
        }
        const auto equals = option.find('=');
        if (equals == std::string::npos) {
            LX_TRY(context.set_flag(option));
        } else {
            LX_TRY(context.set(option.substr(0, equals), option.substr(equals + 1)));
        }
    }
    return attributes;
}

}  // namespace lxmgr::storage
