#include "lxmgr/local_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

namespace lxmgr::cli {

Result<> check_entry_name(std::string_view name) {
    const bool bad = name.empty() || name == "." || name == ".." || name.contains('/') || name.contains('\0');
    if (bad)
        return fail(
            Status::bad_request,
            fmt::format("The instance sent a dangerous file name '{}'; nothing more is pulled", name));
    return {};
}

Result<UniqueFd> open_user_directory(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail_errno("open", path);
    return fd;
}

Result<UniqueFd> enter_directory(int parent, const std::string& name, mode_t mode) {
    LX_TRY(check_entry_name(name));
    // Writable for us at first whatever its mode is inside, or nothing could be put into it.
    if (::mkdirat(parent, name.c_str(), pulled_mode(mode) | S_IRWXU) != 0 && errno != EEXIST)
        return fail_errno("mkdir", name);
    UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("open directory", name);
    return fd;
}

Result<UniqueFd> create_file(int parent, const std::string& name, mode_t mode) {
    LX_TRY(check_entry_name(name));
    // O_NONBLOCK: opening a FIFO that lies there must fail and not hang.
    constexpr int kFlags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    UniqueFd fd(::openat(parent, name.c_str(), kFlags, pulled_mode(mode)));
    if (!fd) return fail_errno("create", name);
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return fail_errno("stat", name);
    if (!S_ISREG(status.st_mode))
        return fail(Status::bad_request, fmt::format("'{}' exists here and is not a regular file", name));
    if (::ftruncate(fd.get(), 0) != 0) return fail_errno("truncate", name);
    return fd;
}

Result<> create_link(int parent, const std::string& name, const std::string& target) {
    LX_TRY(check_entry_name(name));
    if (::symlinkat(target.c_str(), parent, name.c_str()) == 0) return {};
    struct stat status{};
    if (errno != EEXIST) return fail_errno("symlink", name);
    if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("stat", name);
    if (!S_ISLNK(status.st_mode))
        return fail(Status::conflict, fmt::format("'{}' exists here and is not a symbolic link", name));
    if (::unlinkat(parent, name.c_str(), 0) != 0) return fail_errno("unlink", name);
    if (::symlinkat(target.c_str(), parent, name.c_str()) != 0) return fail_errno("symlink", name);
    return {};
}

}  // namespace lxmgr::cli
