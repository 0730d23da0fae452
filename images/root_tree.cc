#include "images/root_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

#include "images/entry.h"
#include "lxd-daemon/base/files.h"

namespace lxmgr::images {
namespace {

struct CloseDir {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

std::string tree_entry_of(int directory_fd, const std::string& name) {
    return fmt::format("/proc/self/fd/{}/{}", directory_fd, name);
}

}  // namespace

Result<RootTree> RootTree::open(const std::string& directory) {
    UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", directory);
    return RootTree(std::move(fd), directory);
}

Result<UniqueFd> RootTree::open_directory(const std::string& path) const {
    open_how how{};
    how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const std::string inside = path.empty() ? "/" : path;
    UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, fd_.get(), inside.c_str(), &how, sizeof how)));
    if (!fd) return fail_errno("Opening", inside);
    return fd;
}

Result<UniqueFd> RootTree::make_directories(const std::string& path) const {
    auto fd = open_directory(path);
    if (fd || fd.error().sys_errno != ENOENT || path.empty()) return fd;
    LX_TRY_AS(const UniqueFd parent, make_directories(std::string(parent_path(path))));
    const std::string name(base_name(path));
    if (::mkdirat(parent.get(), name.c_str(), 0755) != 0) return fail_errno("Creating", path);
    if (::fchmodat(parent.get(), name.c_str(), 0755, 0) != 0) return fail_errno("chmod", path);
    return open_directory(path);
}

Result<> RootTree::write(const std::string& path, std::string_view content, mode_t mode) const {
    LX_TRY_AS(const UniqueFd parent, make_directories(std::string(parent_path(path))));
    const std::string name(base_name(path));
    if (::unlinkat(parent.get(), name.c_str(), 0) != 0 && errno != ENOENT)
        return fail_errno("Replacing", path);
    const UniqueFd fd(
        ::openat(parent.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!fd) return fail_errno("Creating", path);
    if (::fchmod(fd.get(), mode) != 0) return fail_errno("chmod", path);
    while (!content.empty()) {
        const ssize_t n = ::write(fd.get(), content.data(), content.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("Writing", path);
        content.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

Result<> RootTree::symlink(const std::string& target, const std::string& path) const {
    LX_TRY(remove(path));
    LX_TRY_AS(const UniqueFd parent, make_directories(std::string(parent_path(path))));
    if (::symlinkat(target.c_str(), parent.get(), std::string(base_name(path)).c_str()) != 0) {
        return fail_errno("Creating symlink", path);
    }
    return {};
}

Result<> RootTree::remove(const std::string& path) const {
    auto parent = open_directory(std::string(parent_path(path)));
    if (!parent && parent.error().sys_errno == ENOENT) return {};
    LX_FAIL_IF_(return, parent);
    return remove_tree(tree_entry_of(parent->get(), std::string(base_name(path))));
}

Result<std::vector<std::string>> RootTree::list(int fd, const std::string& path) const {
    UniqueFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(own.get()));
    if (!dir) return fail_errno("Reading", path);
    [[maybe_unused]] const int taken = own.release();
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    return names;
}

Result<> RootTree::empty(const std::string& path) const {
    auto fd = open_directory(path);
    if (!fd && fd.error().sys_errno == ENOENT) return {};
    LX_FAIL_IF_(return, fd);
    LX_TRY_AS(const auto names, list(fd->get(), path));
    for (const auto& name : names) LX_TRY(remove_tree(tree_entry_of(fd->get(), name)));
    return {};
}

Result<> RootTree::empty_of_files(const std::string& path) const {
    auto fd = open_directory(path);
    if (!fd && fd.error().sys_errno == ENOENT) return {};
    LX_FAIL_IF_(return, fd);
    LX_TRY_AS(const auto names, list(fd->get(), path));
    for (const auto& name : names) {
        if (::unlinkat(fd->get(), name.c_str(), 0) == 0) continue;
        if (errno != EISDIR) return fail_errno("Removing", name);
        LX_TRY(empty_of_files(fmt::format("{}/{}", path, name)));
    }
    return {};
}

Result<> RootTree::remove_files(const std::string& directory, std::string_view prefix,
                                std::string_view suffix) const {
    auto fd = open_directory(directory);
    if (!fd && fd.error().sys_errno == ENOENT) return {};
    LX_FAIL_IF_(return, fd);
    LX_TRY_AS(const auto names, list(fd->get(), directory));
    for (const auto& name : names) {
        if (!name.starts_with(prefix) || !name.ends_with(suffix)) continue;
        if (::unlinkat(fd->get(), name.c_str(), 0) != 0 && errno != EISDIR)
            return fail_errno("Removing", name);
    }
    return {};
}

bool RootTree::exists(const std::string& path) const {
    const auto parent = open_directory(std::string(parent_path(path)));
    struct stat st{};
    return parent &&
           ::fstatat(parent->get(), std::string(base_name(path)).c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace lxmgr::images
