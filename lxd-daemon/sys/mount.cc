#include "lxd-daemon/sys/mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::sys {

MountGuard& MountGuard::operator=(MountGuard&& other) noexcept {
    if (this != &other) {
        unmount();
        target_ = std::exchange(other.target_, {});
    }
    return *this;
}

void MountGuard::unmount() noexcept {
    if (!target_.empty()) ::umount2(target_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    target_.clear();
}

Result<UniqueFd> clone_mount(int dir_fd, const std::string& path, bool recursive) {
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    if (path.empty()) flags |= AT_EMPTY_PATH;
    if (recursive) flags |= AT_RECURSIVE;
    UniqueFd fd(::open_tree(dir_fd, path.c_str(), flags));
    if (!fd) {
        const bool absent = errno == ENOENT;
        auto error = fail_errno("open_tree", path);
        if (absent) error.error().status = Status::not_found;
        return error;
    }
    LX_TRY(make_private(fd.get(), recursive));
    return fd;
}

Result<> set_idmap(int mount_fd, int user_namespace_fd) {
    mount_attr attr{};
    attr.attr_set = MOUNT_ATTR_IDMAP;
    attr.userns_fd = static_cast<std::uint64_t>(user_namespace_fd);
    if (::mount_setattr(mount_fd, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) {
        return fail_errno("mount_setattr", "(id map)");
    }
    return {};
}

Result<> change_attributes(int mount_fd, std::uint64_t set, std::uint64_t clear, bool recursive) {
    mount_attr attr{};
    attr.attr_set = set;
    attr.attr_clr = clear;
    const unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0U);
    if (::mount_setattr(mount_fd, "", flags, &attr, sizeof attr) != 0)
        return fail_errno("mount_setattr", "(flags)");
    return {};
}

Result<UniqueFd> clone_linked_mount(int fd, bool recursive) {
    const unsigned flags =
        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0U);
    UniqueFd mount(::open_tree(fd, "", flags));
    if (!mount) return fail_errno("open_tree", "");
    return mount;
}

Result<> set_propagation(int mount_fd, std::uint64_t propagation, bool recursive) {
    mount_attr attr{};
    attr.propagation = propagation;
    const unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0U);
    if (::mount_setattr(mount_fd, "", flags, &attr, sizeof attr) != 0)
        return fail_errno("mount_setattr", "(propagation)");
    return {};
}

Result<> make_private(int mount_fd, bool recursive) {
    return set_propagation(mount_fd, MS_PRIVATE, recursive);
}

Result<MountGuard> attach_mount(int mount_fd, const std::string& target) {
    if (::move_mount(mount_fd, "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
        return fail_errno("move_mount", target);
    }
    return MountGuard(target);
}

Result<> attach_at(int mount_fd, int target_fd) {
    if (::move_mount(mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
        return fail_errno("move_mount", "");
    }
    return {};
}

Result<FsContext> FsContext::open(const std::string& type) {
    UniqueFd fd(::fsopen(type.c_str(), FSOPEN_CLOEXEC));
    if (!fd) return fail_errno("fsopen", type);
    return FsContext(std::move(fd), type);
}

Result<FsContext> FsContext::pick(const std::string& path, const std::string& type) {
    UniqueFd fd(::fspick(AT_FDCWD, path.c_str(), FSPICK_CLOEXEC));
    if (!fd) return fail_errno("fspick", path);
    return FsContext(std::move(fd), type);
}

Result<> FsContext::set(const std::string& key, const std::string& value) {
    if (::fsconfig(fd_.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) == 0) return {};
    return failed("Option", key);
}

Result<> FsContext::set_flag(const std::string& key) {
    if (::fsconfig(fd_.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) == 0) return {};
    return failed("Option", key);
}

Result<> FsContext::set_fd(const std::string& key, int fd) {
    if (::fsconfig(fd_.get(), FSCONFIG_SET_FD, key.c_str(), nullptr, fd) == 0) return {};
    return failed("Option", key);
}

Result<> FsContext::create() {
    if (::fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) return {};
    return failed("Creating", "the mount");
}

Result<> FsContext::reconfigure() {
    if (::fsconfig(fd_.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) == 0) return {};
    return failed("Changing", "options ");
}

Result<UniqueFd> FsContext::mount(unsigned attributes) {
    UniqueFd fd(::fsmount(fd_.get(), FSMOUNT_CLOEXEC, attributes));
    if (!fd) return failed("fsmount", "");
    return fd;
}

std::string FsContext::messages() {
    std::string all;
    std::array<char, 1024> line{};
    // Each read(2) takes one message; ENODATA ends the queue.
    for (ssize_t n = 0; (n = ::read(fd_.get(), line.data(), line.size())) > 0;) {
        const std::string_view text = trim(std::string_view(line.data(), static_cast<std::size_t>(n)));
        if (!all.empty()) all += "; ";
        all += text;
    }
    return all;
}

std::unexpected<Error> FsContext::failed(std::string_view what, std::string_view key) {
    auto error = fail_errno(what, fmt::format("{}{}of {}", key, key.empty() ? "" : " ", type_));
    if (const std::string said = messages(); !said.empty())
        error.error().message += fmt::format(" ({})", said);
    return error;
}

Result<> set_mount_attributes(const std::string& path, std::uint64_t changed, std::uint64_t attributes) {
    mount_attr wanted{};
    wanted.attr_clr = changed;
    wanted.attr_set = attributes;
    if (::mount_setattr(AT_FDCWD, path.c_str(), 0, &wanted, sizeof wanted) != 0)
        return fail_errno("mount_setattr", path);
    return {};
}

Result<std::int64_t> file_system_magic(int fd) {
    struct statfs info{};
    if (::fstatfs(fd, &info) != 0) return fail_errno("fstatfs", "");
    return static_cast<std::int64_t>(info.f_type);
}

}  // namespace lxmgr::sys
