#include "storage/limits/image_file.h"

#include <endian.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/loop_device.h"
#include "lxd-daemon/sys/mount.h"
#include "storage/tree/list.h"

#ifndef EXT4_IOC_RESIZE_FS
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, __u64)  // fs/ext4/ext4.h; no header of user space has it
#endif

namespace lxmgr::storage {
namespace {

constexpr const char* kImageFile = "volume.img";

Result<std::string> image_path(int dir_fd, const char* name) {
    std::string text(4096, '\0');
    const ssize_t n = ::readlink(fmt::format("/proc/self/fd/{}", dir_fd).c_str(), text.data(), text.size());
    if (n < 0) return fail_errno("readlink", "/proc/self/fd");
    return text.substr(0, static_cast<std::size_t>(n)) + "/" + name;
}

Result<UniqueFd> open_image(int volume_fd) {
    UniqueFd file(::openat(volume_fd, kImageFile, O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    if (!file) return fail_errno_at("Opening", volume_fd, kImageFile);
    return file;
}

Result<struct stat> stat_image(int volume_fd) {
    struct stat st{};
    if (::fstatat(volume_fd, kImageFile, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return fail_errno_at("stat", volume_fd, kImageFile);
    return st;
}

/// Whoever looks for the device of a file, or gives it one, is alone: two devices on one file would destroy
/// it.
std::mutex& loop_mutex() {
    static std::mutex mutex;
    return mutex;
}

Result<UniqueFd> mount_image_device(const sys::LoopDevice& device) {
    LX_TRY_AS(auto context, sys::FsContext::open("ext4"));
    LX_TRY(context.set("source", device.path));
    LX_TRY(context.set_flag("discard"));        // what is deleted goes back to the pool
    LX_TRY(context.set_flag("noinit_itable"));  // the file is sparse: nothing has to be zeroed
    LX_TRY(context.create());
    return context.mount();
}

int resize_file_system(int directory_fd, std::uint64_t blocks_before, std::uint64_t blocks) {
    if (failpoint_fails("storage.image.half_grown")) {
        std::uint64_t half = blocks_before + (blocks - blocks_before) / 2;
        if (::ioctl(directory_fd, EXT4_IOC_RESIZE_FS, &half) == 0) errno = EIO;
        return -1;
    }
    return ::ioctl(directory_fd, EXT4_IOC_RESIZE_FS, &blocks);
}

}  // namespace

Result<std::uint64_t> file_system_bytes(const std::string& device) {
    constexpr off_t kSuperblock = 1024;
    constexpr std::size_t kBlocks = 0x4, kBlockSize = 0x18, kIncompatible = 0x60, kBlocksHigh = 0x150;
    constexpr std::uint32_t k64Bit = 0x80;
    std::array<unsigned char, kBlocksHigh + 4> block{};
    const UniqueFd fd(::open(device.c_str(), O_RDONLY | O_CLOEXEC));
    const ssize_t n = fd ? ::pread(fd.get(), block.data(), block.size(), kSuperblock) : -1;
    if (n >= 0 && n < std::ssize(block)) errno = EIO;
    if (n != std::ssize(block)) return fail_errno("Reading the superblock on", device);
    const auto number = [&block](std::size_t at) {
        std::uint32_t little = 0;
        std::memcpy(&little, &block[at], sizeof little);
        return le32toh(little);
    };
    const std::uint64_t high = (number(kIncompatible) & k64Bit) != 0 ? number(kBlocksHigh) : 0;
    return (high << 32U | number(kBlocks)) << (10U + number(kBlockSize));
}

bool has_image(int volume_fd) { return ::faccessat(volume_fd, kImageFile, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

Result<> make_image(int volume_fd, std::uint64_t bytes) {
    if (bytes < kSmallestImage)
        return fail(Status::bad_request,
                    fmt::format("A volume's size must be at least {} MiB here", kSmallestImage >> 20U));
    {
        const UniqueFd file(
            ::openat(volume_fd, kImageFile, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!file) return fail_errno_at("Creating", volume_fd, kImageFile);
        if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0)
            return fail_errno_at("ftruncate", volume_fd, kImageFile);
    }
    failpoint("storage.image.file");
    LX_TRY_AS(const std::string path, image_path(volume_fd, kImageFile));
    // No blocks kept for root, who is nobody special in there; nothing written that can stay a hole.
    auto made = run_checked({{"mkfs.ext4", "-q", "-F", "-m", "0", "-E",
                              "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0", path}});
    if (!made) {
        Error error = std::move(made).error();
        if (error.message.contains(std::strerror(ENOSPC))) error.sys_errno = ENOSPC;
        return std::unexpected(std::move(error));
    }
    failpoint("storage.image.formatted");
    return {};
}

Result<UniqueFd> mount_image(int volume_fd) {
    const std::lock_guard lock(loop_mutex());
    LX_TRY_AS(const UniqueFd file, open_image(volume_fd));
    LX_TRY_AS(const auto device, sys::open_loop_device(file.get()));
    auto mounted = mount_image_device(device);
    if (mounted) return mounted;
    return std::unexpected(in("Mounting the volume's image", std::move(mounted).error()));
}

Result<std::uint64_t> image_size(int volume_fd) {
    LX_TRY_AS(const auto st, stat_image(volume_fd));
    return static_cast<std::uint64_t>(st.st_size);
}

Result<std::uint64_t> image_usage(int volume_fd) {
    LX_TRY_AS(const auto st, stat_image(volume_fd));
    return static_cast<std::uint64_t>(st.st_blocks) * 512;  // stat(3type)
}

Result<bool> grow_image(int volume_fd, std::uint64_t bytes) {
    LX_TRY_AS(const UniqueFd root, mount_image(volume_fd));
    LX_TRY_AS(const UniqueFd file, open_image(volume_fd));
    LX_TRY_AS(const std::uint64_t before, image_size(volume_fd));
    const UniqueFd directory(::openat(root.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct statfs info{};
    if (!directory || ::fstatfs(root.get(), &info) != 0) return fail_errno("statfs", kImageFile);
    const std::lock_guard lock(loop_mutex());
    LX_TRY_AS(const auto device, sys::open_loop_device(file.get()));
    const auto resize = [&](std::uint64_t to) -> Result<> {
        if (::ftruncate(file.get(), static_cast<off_t>(to)) != 0)
            return fail_errno_at("ftruncate", volume_fd, kImageFile);
        return sys::refresh_loop_size(device);
    };
    LX_TRY(resize(bytes));
    failpoint("storage.image.longer");
    const auto block = static_cast<std::uint64_t>(info.f_bsize);
    if (resize_file_system(directory.get(), before / block, bytes / block) == 0) return true;
    const int code = errno;
    // ext4 grows group by group, each for good: what it has by now must stay.
    LX_TRY_AS(const std::uint64_t grown, file_system_bytes(device.path));
    LX_TRY(resize(std::max(before, grown)));
    const bool refused = code == EPERM || code == EOPNOTSUPP || code == ENOTTY || code == EINVAL;
    if (refused && grown <= before) return false;
    errno = code;
    return fail_errno_at("Growing", volume_fd, kImageFile);
}

Result<> sync_image(int volume_fd, int mount_fd) {
    const UniqueFd root(::openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root || ::syncfs(root.get()) != 0) return fail_errno_at("syncfs", volume_fd, kImageFile);
    LX_TRY_AS(const UniqueFd file, open_image(volume_fd));
    if (::fsync(file.get()) != 0) return fail_errno_at("fsync", volume_fd, kImageFile);
    return {};
}

}  // namespace lxmgr::storage
