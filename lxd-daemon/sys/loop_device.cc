#include "lxd-daemon/sys/loop_device.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <optional>
#include <vector>

namespace lxmgr::sys {
namespace {

constexpr int kTries = 100;  // others may take the device that was free

/// Names of the block devices below /sys whose driver says that they have a file.
Result<std::vector<std::string>> bound_devices() {
    std::vector<std::string> out;
    DIR* const directory = ::opendir("/sys/block");
    if (directory == nullptr) return fail_errno("Opening", "/sys/block");
    while (const dirent* entry = ::readdir(directory)) {
        const std::string name = entry->d_name;
        if (!name.starts_with("loop")) continue;
        const std::string marker = fmt::format("/sys/block/{}/loop/backing_file", name);
        if (::access(marker.c_str(), F_OK) == 0) out.push_back(name);
    }
    ::closedir(directory);
    return out;
}

/// As long as it is open, the device keeps its file. Not for writing: udev probes what was open so.
std::optional<LoopDevice> open_if_of(const std::string& name, const struct stat& file) {
    LoopDevice device{UniqueFd(), "/dev/" + name};
    device.fd.reset(::open(device.path.c_str(), O_RDONLY | O_CLOEXEC));
    loop_info64 info{};
    if (!device.fd || ::ioctl(device.fd.get(), LOOP_GET_STATUS64, &info) != 0) return std::nullopt;
    if (info.lo_inode != file.st_ino || info.lo_device != file.st_dev) return std::nullopt;
    return device;
}

/// nullopt: somebody else was faster.
Result<std::optional<LoopDevice>> take_free(int control_fd, int file_fd) {
    const int number = ::ioctl(control_fd, LOOP_CTL_GET_FREE);
    if (number < 0) return fail_errno("LOOP_CTL_GET_FREE", "/dev/loop-control");
    LoopDevice device{UniqueFd(), fmt::format("/dev/loop{}", number)};
    device.fd.reset(::open(device.path.c_str(), O_RDWR | O_CLOEXEC));
    if (!device.fd) return fail_errno("Opening", device.path);
    loop_config config{};
    config.fd = static_cast<std::uint32_t>(file_fd);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (::ioctl(device.fd.get(), LOOP_CONFIGURE, &config) == 0) return device;
    if (errno == EBUSY) return std::nullopt;
    return fail_errno("LOOP_CONFIGURE", device.path);
}

}  // namespace

Result<LoopDevice> open_loop_device(int file_fd) {
    struct stat st{};
    if (::fstat(file_fd, &st) != 0) return fail_errno("fstat", "image file");
    LX_TRY_AS(const auto bound, bound_devices());
    for (const auto& name : bound) {
        if (auto found = open_if_of(name, st)) return *std::move(found);
    }
    const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!control) {
        auto error = fail_errno("Opening", "/dev/loop-control");
        error.error().status = Status::unavailable;
        return error;
    }
    for (int i = 0; i < kTries; ++i) {
        LX_TRY_AS(auto taken, take_free(control.get(), file_fd));
        if (taken) return *std::move(taken);
    }
    return fail(Status::unavailable, "No loop device is free");
}

Result<> refresh_loop_size(const LoopDevice& device) {
    if (::ioctl(device.fd.get(), LOOP_SET_CAPACITY, 0) != 0)
        return fail_errno("LOOP_SET_CAPACITY", device.path);
    return {};
}

}  // namespace lxmgr::sys
