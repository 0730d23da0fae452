#include "lxd-daemon/base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <memory>
#include <vector>

#include "lxd-daemon/base/strings.h"

namespace lxmgr {
namespace {

std::string parent_of(const std::string& path) {
    const auto at = path.rfind('/');
    if (at == std::string::npos) return ".";
    return at == 0 ? "/" : path.substr(0, at);
}

Result<> write_all(int fd, std::string_view content, const std::string& path) {
    while (!content.empty()) {
        const ssize_t n = ::write(fd, content.data(), content.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("Writing", path);
        content.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

struct CloseDir {
    void operator()(DIR* dir) const { ::closedir(dir); }
};

Result<> remove_entry(int dir_fd, const std::string& name, const std::string& path, dev_t device);

/// Empties a directory given by its descriptor, on the same file system only.
Result<> empty_directory(UniqueFd fd, const std::string& path, dev_t device) {
    const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(fd.get()));
    if (!dir) return fail_errno("Reading", path);
    const int dir_fd = fd.release();
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    for (const auto& name : names) LX_TRY(remove_entry(dir_fd, name, path + "/" + name, device));
    return {};
}

Result<> remove_entry(int dir_fd, const std::string& name, const std::string& path, dev_t device) {
    if (::unlinkat(dir_fd, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return fail_errno("Removing", path);
    UniqueFd child(::openat(dir_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) return fail_errno("Opening", path);
    struct stat st{};
    if (::fstat(child.get(), &st) != 0) return fail_errno("fstat", path);
    if (st.st_dev != device)
        return fail(Status::internal, fmt::format("Removing {}: another file system is mounted there", path));
    LX_TRY(empty_directory(std::move(child), path, device));
    if (::unlinkat(dir_fd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
        return fail_errno("Removing", path);
    return {};
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        auto error = fail_errno("Opening", path);
        if (error.error().sys_errno == ENOENT) error.error().status = Status::not_found;
        return error;
    }
    std::string content;
    std::array<char, 16384> buffer;
    for (;;) {
        const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("Reading", path);
        if (n == 0) return content;
        content.append(buffer.data(), static_cast<std::size_t>(n));
        if (content.size() > max_bytes) {
            return fail(Status::too_large, fmt::format("{} is larger than {} bytes", path, max_bytes));
        }
    }
}

Result<> write_existing(const std::string& path, std::string_view text) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    const ssize_t n = ::write(fd.get(), text.data(), text.size());
    if (n != static_cast<ssize_t>(text.size())) return fail_errno("Writing", path);
    return {};
}

Result<> write_file_atomic(const std::string& path, std::string_view content, mode_t mode) {
    const std::string temporary = fmt::format("{}.tmp-{}", path, random_hex(6));
    {
        const UniqueFd fd(
            ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
        if (!fd) return fail_errno("Creating", temporary);
        Revert undo;
        undo.add([&] { ::unlink(temporary.c_str()); });
        if (::fchmod(fd.get(), mode) != 0) return fail_errno("fchmod", temporary);
        LX_TRY(write_all(fd.get(), content, temporary));
        if (::fsync(fd.get()) != 0) return fail_errno("fsync", temporary);
        if (::rename(temporary.c_str(), path.c_str()) != 0) return fail_errno("Renaming to", path);
        undo.commit();
    }
    return sync_directory(parent_of(path));
}

Result<> make_directory(const std::string& path, mode_t mode) {
    if (::mkdir(path.c_str(), mode) != 0) {
        if (errno == EEXIST) {
            struct stat st{};
            if (::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return {};
            errno = EEXIST;
        }
        return fail_errno("Creating directory", path);
    }
    if (::chmod(path.c_str(), mode) != 0) return fail_errno("chmod", path);
    return {};
}

Result<> make_directories(const std::string& path, mode_t mode) {
    if (const std::string parent = parent_of(path); parent != path && !path_exists(parent)) {
        LX_TRY(make_directories(parent, 0711));
    }
    return make_directory(path, mode);
}

Result<> remove_tree(const std::string& path) {
    struct stat st{};
    if (::lstat(path.c_str(), &st) != 0) {
        if (errno == ENOENT) return {};
        return fail_errno("lstat", path);
    }
    return remove_entry(AT_FDCWD, path, path, st.st_dev);
}

Result<> sync_directory(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    if (::fsync(fd.get()) != 0) return fail_errno("fsync", path);
    return {};
}

bool path_exists(const std::string& path) {
    struct stat st{};
    return ::lstat(path.c_str(), &st) == 0;
}

}  // namespace lxmgr
