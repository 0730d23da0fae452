#include "lxd-daemon/sys/block_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/mount.h"

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

/// Those of the kernel's that are on block devices, likely ones first: opening one may load its module.
std::vector<std::string> block_file_systems() {
    std::vector<std::string> out{"ext4", "xfs", "btrfs", "vfat", "squashfs", "iso9660"};
    for (const std::string& line : split(read_file("/proc/filesystems").value_or(""), '\n')) {
        const std::string name(trim(line));
        const bool known = std::ranges::find(out, name) != out.end();
        if (line.starts_with('\t') && !known && name != "fuseblk") out.push_back(name);
    }
    return out;
}

/// Errors: EINVAL or ENODEV when it is another one.
Result<UniqueFd> mount_as(const std::string& type, const std::string& path, std::uint64_t attributes) {
    LX_TRY_AS(auto file_system, FsContext::open(type));
    LX_TRY(file_system.set("source", path));
    if ((attributes & MOUNT_ATTR_RDONLY) != 0) LX_TRY(file_system.set_flag("ro"));
    LX_TRY(file_system.create());
    return file_system.mount(static_cast<unsigned>(attributes));
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
    if (S_ISBLK(st.stx_mode)) return whole_disk(makedev(st.stx_rdev_major, st.stx_rdev_minor));
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

Result<UniqueFd> mount_block_device(const std::string& path, std::uint64_t attributes) {
    for (const std::string& type : block_file_systems()) {
        auto mount = mount_as(type, path, attributes);
        if (mount) return mount;
        const int problem = mount.error().sys_errno;
        if (problem == EINVAL || problem == ENODEV || problem == ENOTBLK) continue;
        if ((problem == EROFS || problem == EACCES) && (attributes & MOUNT_ATTR_RDONLY) == 0)
            return fail(Status::bad_request, fmt::format("block device '{}' is read-only", path));
        return fail(Status::bad_request, mount.error().message);
    }
    return fail(Status::bad_request,
                fmt::format("block device '{}' has no file system that this kernel knows", path));
}

}  // namespace lxmgr::sys
