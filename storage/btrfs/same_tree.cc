#include "storage/btrfs/same_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/strings.h"
#include "storage/tree/list.h"
#include "storage/tree/remove.h"

namespace lxmgr::storage {
namespace {

constexpr const char* kTreeName = "rootfs";
/// "OWN-UUID IDENTITY": a snapshot has the attribute, too, but not the UUID.
constexpr const char* kSameAs = "trusted.lxmgr.same_as";

Result<std::string> own_uuid(int subvolume_fd) {
    btrfs_ioctl_get_subvol_info_args info{};
    // 1 is what Linux 6.18 gives where it has found all.
    if (::ioctl(subvolume_fd, BTRFS_IOC_GET_SUBVOL_INFO, &info) < 0)
        return fail_errno_at("GET_SUBVOL_INFO", subvolume_fd, "");
    std::string out;
    for (const auto byte : info.uuid) out += fmt::format("{:02x}", byte);
    return out;
}

}  // namespace

Result<> keep_tree_only(int directory_fd) {
    struct stat st{};
    if (::fstatat(directory_fd, kTreeName, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
        return fail(Status::bad_request, fmt::format("A btrfs volume holds no directory '{}'", kTreeName));
    LX_TRY_AS(const auto entries, list_directory(directory_fd));
    if (entries.size() == 1) return {};
    // In a directory of its own, because deep trees are taken apart there.
    const std::string trash_name = ".lxmgr-" + random_hex(8);
    if (::mkdirat(directory_fd, trash_name.c_str(), 0700) != 0)
        return fail_errno_at("mkdir", directory_fd, trash_name);
    const UniqueFd trash(
        ::openat(directory_fd, trash_name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!trash) return fail_errno_at("Opening", directory_fd, trash_name);
    for (const auto& entry : entries) {
        if (entry.name == kTreeName) continue;
        if (::renameat(directory_fd, entry.name.c_str(), trash.get(), entry.name.c_str()) != 0)
            return fail_errno_at("Removing", directory_fd, entry.name);
        LX_TRY(remove_tree_at(trash.get(), entry.name, [] { return false; }));
    }
    if (::unlinkat(directory_fd, trash_name.c_str(), AT_REMOVEDIR) != 0)
        return fail_errno_at("Removing", directory_fd, trash_name);
    return {};
}

Result<std::string> identity_of(int subvolume_fd) {
    LX_TRY_AS(std::string own, own_uuid(subvolume_fd));
    std::array<char, 256> value{};
    const ssize_t size = ::fgetxattr(subvolume_fd, kSameAs, value.data(), value.size());
    const std::string_view said(value.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    if (said.size() > own.size() + 1 && said.starts_with(own + " "))
        return std::string(said.substr(own.size() + 1));
    return own;
}

Result<> set_identity(int subvolume_fd, const std::string& identity) {
    LX_TRY_AS(const std::string own, own_uuid(subvolume_fd));
    const std::string value = own + " " + identity;
    if (::fsetxattr(subvolume_fd, kSameAs, value.data(), value.size(), 0) != 0)
        return fail_errno_at("setxattr", subvolume_fd, kSameAs);
    return {};
}

}  // namespace lxmgr::storage
