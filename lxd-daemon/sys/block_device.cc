#include "lxd-daemon/sys/block_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <filesystem>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::sys {
namespace {

std::unexpected<Error> no_disk(const std::string& path) {
    return fail(Status::bad_request, fmt::format("there is no block device below '{}'", path));
}

/// The device in a mount's line of mountinfo, proc_pid_mountinfo(5): the word after the file system's type.
/// For file systems whose files show a device number that no disk has (btrfs).
Result<dev_t> mounted_device(const std::string& path, std::uint64_t mount_id) {
    LX_TRY_AS(const std::string mountinfo, read_file("/proc/self/mountinfo"));
    const std::string start = fmt::format("{} ", mount_id);
    for (const std::string& line : split(mountinfo, '\n')) {
        if (!line.starts_with(start)) continue;
        const auto words = split(line, ' ');
        for (std::size_t i = 6; i + 2 < words.size(); ++i) {
            if (words[i] != "-") continue;
            struct stat st{};
            if (::stat(words[i + 2].c_str(), &st) == 0 && S_ISBLK(st.st_mode)) return st.st_rdev;
            return no_disk(path);
        }
    }
    return no_disk(path);
}

/// Rates are kept for whole disks only. /sys/dev/block/MAJOR:MINOR leads to .../DISK/PARTITION.
std::string whole_disk(dev_t device) {
    const std::string name = fmt::format("{}:{}", major(device), minor(device));
    const std::string link = "/sys/dev/block/" + name;
    if (!read_file(link + "/partition")) return name;
    std::error_code problem;
    const auto folder = std::filesystem::canonical(link, problem);
    if (problem) return name;
    const auto disk = read_file(folder.parent_path().string() + "/dev");
    return disk ? std::string(trim(*disk)) : name;
}

}  // namespace

Result<std::string> disk_of(const std::string& path) {
    struct statx st{};
    if (::statx(AT_FDCWD, path.c_str(), 0, STATX_TYPE | STATX_MNT_ID, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return fail(Status::not_found, fmt::format("'{}' does not exist", path));
        return fail_errno("statx", path);
    }
    dev_t device = makedev(st.stx_dev_major, st.stx_dev_minor);
    if (st.stx_dev_major == 0) {
        LX_TRY_AS(device, mounted_device(path, st.stx_mnt_id));
    }
    return whole_disk(device);
}

Result<std::string> disk_of_node(const std::string& path) {
    struct stat st{};
    if (::stat(path.c_str(), &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return fail(Status::not_found, fmt::format("'{}' does not exist", path));
        return fail_errno("stat", path);
    }
    if (!S_ISBLK(st.st_mode)) return fail(Status::bad_request, fmt::format("'{}' is no block device", path));
    return whole_disk(st.st_rdev);
}

Result<std::string> disk_of_number(unsigned major, unsigned minor) {
    return whole_disk(makedev(major, minor));
}

}  // namespace lxmgr::sys
