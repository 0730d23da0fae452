#include "lxd-daemon/instances/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <algorithm>
#include <climits>
#include <memory>

#include "lxd-daemon/instances/root_access.h"
#include "lxd-daemon/sys/path.h"

namespace lxmgr::instances {
namespace {

struct CloseDir {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

Result<FileInfo> info_of(const InstanceRoot& root, int fd, const std::string& path) {
    LX_TRY_AS(const struct stat st, stat_of(fd, path));
    FileInfo info;
    info.uid = instance_id(root.idmap.uids, st.st_uid);
    info.gid = instance_id(root.idmap.gids, st.st_gid);
    info.mode = st.st_mode & kModeBits;
    info.modified =
        Time(std::chrono::seconds(st.st_mtim.tv_sec) + std::chrono::nanoseconds(st.st_mtim.tv_nsec));
    info.size_bytes = static_cast<std::uint64_t>(st.st_size);
    if (S_ISREG(st.st_mode)) {
        info.type = FileType::file;
    } else if (S_ISDIR(st.st_mode)) {
        info.type = FileType::directory;
    } else if (S_ISLNK(st.st_mode)) {
        info.type = FileType::symlink;
    } else {
        return fail(
            Status::bad_request,
            fmt::format("'{}' is a device, pipe or socket: only files, directories and symlinks can be read",
                        path));
    }
    return info;
}

Result<std::vector<std::string>> entries_of(UniqueFd fd, const std::string& path) {
    const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(fd.get()));
    if (!dir) return fail_errno("Reading", path);
    [[maybe_unused]] const int owned_by_dir = fd.release();
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    std::ranges::sort(names);
    return names;
}

Result<> copy_bytes(int from, int to, const std::string& path) {
    for (;;) {
        const ssize_t n = ::sendfile(to, from, nullptr, std::size_t{16} << 20);
        if (n == 0) return {};
        if (n < 0 && errno != EINTR) return fail_errno("Writing", path);
    }
}

Result<> remove_below(const InstanceRoot& root, int parent, const std::string& name, const std::string& path,
                      unsigned depth) {
    constexpr unsigned kMaxDepth = 512;
    if (depth > kMaxDepth) return fail(Status::bad_request, fmt::format("'{}' is nested too deeply", path));
    LX_TRY(refuse_mount_point(parent, name, path));
    if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return fail_errno("Removing", path);
    UniqueFd dir(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!dir) return fail_errno("Opening", path);
    UniqueFd copy(::fcntl(dir.get(), F_DUPFD_CLOEXEC, 0));
    LX_TRY(require_access(root, dir.get(), read | write | search, path));
    LX_TRY_AS(const auto names, entries_of(std::move(copy), path));
    for (const auto& entry : names)
        LX_TRY(remove_below(root, dir.get(), entry, path + "/" + entry, depth + 1));
    if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
        return fail_errno("Removing", path);
    return {};
}

/// The text as a descriptor to copy from.
Result<UniqueFd> as_file(const std::string& text) {
    UniqueFd fd(::memfd_create("lxmgr-text", MFD_CLOEXEC));
    if (!fd) return fail_errno("memfd_create", "");
    if (::pwrite(fd.get(), text.data(), text.size(), 0) != std::ssize(text))
        return fail_errno("Writing", "memfd");
    return fd;
}

}  // namespace

const char* to_string(FileType type) {
    switch (type) {
        case FileType::file:
            return "file";
        case FileType::directory:
            return "directory";
        case FileType::symlink:
            return "symlink";
    }
    return "file";
}

Result<FileInfo> file_info(const InstanceRoot& root, const std::string& path) {
    LX_TRY_AS(const UniqueFd handle, open_object(root, path));
    return info_of(root, handle.get(), path);
}

Result<OpenedFile> open_file(const InstanceRoot& root, const std::string& path) {
    LX_TRY_AS(const UniqueFd handle, open_object(root, path));
    OpenedFile file;
    LX_TRY_AS(file.info, info_of(root, handle.get(), path));
    if (file.info.type == FileType::symlink) {
        LX_TRY_AS(file.link_target, link_of(handle.get(), path));
    } else if (file.info.type == FileType::directory) {
        LX_TRY_AS(UniqueFd dir, reopen_allowed(root, handle.get(), O_RDONLY | O_DIRECTORY, path));
        LX_TRY_AS(file.entries, entries_of(std::move(dir), path));
    } else {
        LX_TRY_AS(file.fd, reopen_allowed(root, handle.get(), O_RDONLY | O_NONBLOCK, path));
    }
    return file;
}

Result<> write_file(const InstanceRoot& root, const std::string& path, int source, bool append,
                    const Ownership& ownership, const Ownership& existing_gets) {
    LX_TRY(split_last(path));
    UniqueFd target;
    if (auto existing = sys::open_in_root(root.fd.get(), path, O_PATH)) {
        LX_TRY_AS(const struct stat st, stat_of(existing->get(), path));
        if (!S_ISREG(st.st_mode))
            return fail(Status::bad_request, fmt::format("'{}' exists and is not a regular file", path));
        LX_TRY_AS(target, reopen_allowed(root, existing->get(),
                                         O_WRONLY | O_NONBLOCK | (append ? 0 : O_TRUNC), path));
        // Not O_APPEND: sendfile(2) refuses it.
        if (append && ::lseek(target.get(), 0, SEEK_END) < 0) return fail_errno("Seeking in", path);
        LX_TRY(copy_bytes(source, target.get(), path));
        return apply_ownership(root, target.get(), existing_gets, path);
    }
    LX_TRY_AS(target, create_file(root, path, ownership));
    LX_TRY(copy_bytes(source, target.get(), path));
    Ownership whole = ownership;
    whole.mode = ownership.mode.value_or(0644);
    return apply_ownership(root, target.get(), whole, path);
}

Result<> make_directory(const InstanceRoot& root, const std::string& path, const Ownership& ownership,
                        const Ownership& existing_gets) {
    if (auto existing = sys::open_in_root(root.fd.get(), path, O_PATH)) {
        LX_TRY_AS(const struct stat st, stat_of(existing->get(), path));
        if (!S_ISDIR(st.st_mode))
            return fail(Status::bad_request, fmt::format("'{}' exists and is not a directory", path));
        LX_TRY_AS(const UniqueFd dir, reopen_allowed(root, existing->get(), O_RDONLY | O_DIRECTORY, path));
        return apply_ownership(root, dir.get(), existing_gets, path);
    }
    LX_TRY_AS(const auto parts, split_last(path));
    LX_TRY_AS(const UniqueFd parent, open_parent(root, parts.first));
    LX_TRY(as_owner(root, ownership, [&]() -> Result<> {
        if (::mkdirat(parent.get(), parts.second.c_str(), 0700) == 0) return {};
        if (errno == EEXIST)
            return fail(Status::bad_request, fmt::format("'{}' exists and is not a directory", path));
        return fail_errno("Creating directory", path);
    }));
    Ownership whole = ownership;
    whole.mode = ownership.mode.value_or(0755);
    LX_TRY_AS(const UniqueFd handle, open_object(root, path));
    LX_TRY_AS(const UniqueFd dir, reopen_allowed(root, handle.get(), O_RDONLY | O_DIRECTORY, path));
    return apply_ownership(root, dir.get(), whole, path);
}

Result<> make_symlink(const InstanceRoot& root, const std::string& path, const std::string& target,
                      const Ownership& ownership) {
    if (target.empty() || target.size() >= PATH_MAX || target.contains('\0')) {
        return fail(Status::bad_request,
                    fmt::format("The target of symlink '{}' is empty, too long or holds a zero byte", path));
    }
    LX_TRY_AS(const auto parts, split_last(path));
    LX_TRY_AS(const UniqueFd parent, open_parent(root, parts.first));
    struct stat st{};
    if (::fstatat(parent.get(), parts.second.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!S_ISLNK(st.st_mode))
            return fail(Status::bad_request, fmt::format("'{}' exists and is not a symlink", path));
        if (::unlinkat(parent.get(), parts.second.c_str(), 0) != 0) return fail_errno("Replacing", path);
    }
    return as_owner(root, ownership, [&]() -> Result<> {
        if (::symlinkat(target.c_str(), parent.get(), parts.second.c_str()) != 0)
            return fail_errno("Creating symlink", path);
        return {};
    });
}

Result<> remove_path(const InstanceRoot& root, const std::string& path, bool recursive) {
    LX_TRY_AS(const auto parts, split_last(path));
    LX_TRY_AS(const UniqueFd parent, open_parent(root, parts.first));
    struct stat st{};
    if (::fstatat(parent.get(), parts.second.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return fail(Status::not_found, "Not Found");
        return fail_errno("fstat", path);
    }
    if (recursive) return remove_below(root, parent.get(), parts.second, path, 0);
    LX_TRY(refuse_mount_point(parent.get(), parts.second, path));
    if (::unlinkat(parent.get(), parts.second.c_str(), S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) == 0)
        return {};
    if (errno == ENOTEMPTY)
        return fail(Status::bad_request, fmt::format("Directory '{}' is not empty", path));
    return fail_errno("Removing", path);
}

Result<> write_text(const InstanceRoot& root, const std::string& path, const std::string& text) {
    LX_TRY_AS(const UniqueFd source, as_file(text));
    return write_file(root, path, source.get(), false, {});
}

}  // namespace lxmgr::instances
