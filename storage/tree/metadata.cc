#include "storage/tree/metadata.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>

#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

/// Path of an entry that resolves through the descriptor, for the xattr calls that have no *at form before
/// Linux 6.13.
std::string entry_path(int dir_fd, const std::string& name) {
    return fmt::format("/proc/self/fd/{}/{}", dir_fd, name);
}

uid_t new_uid(const struct stat& st, const IdShift* shift) {
    return shift ? shift->uid(st.st_uid) : st.st_uid;
}
gid_t new_gid(const struct stat& st, const IdShift* shift) {
    return shift ? shift->gid(st.st_gid) : st.st_gid;
}

/// xfs lists an ACL twice, as itself and in its on-disk form (xfs_xattr.c): the second would undo a shift of
/// the first.
bool is_alias(const std::string& name) { return name.starts_with("trusted.SGI_ACL_"); }

/// `list`, `get` and `set` hide whether a descriptor or a path is meant.
template <typename List, typename Get, typename Set>
Result<> copy_xattrs(List list, Get get, Set set, const IdShift* shift) {
    std::string names(1024, '\0');
    ssize_t size = list(names.data(), names.size());
    if (size < 0 && errno == ERANGE) {
        names.resize(65536);  // XATTR_LIST_MAX, linux/limits.h
        size = list(names.data(), names.size());
    }
    if (size < 0 && errno == ENOTSUP) return {};
    if (size < 0) return fail_errno("listxattr", "");
    for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
        const std::string name = names.c_str() + at;
        at += name.size() + 1;
        if (is_alias(name)) continue;
        std::string value(256, '\0');
        ssize_t length = get(name.c_str(), value.data(), value.size());
        if (length < 0 && errno == ERANGE) {
            value.resize(65536);  // XATTR_SIZE_MAX
            length = get(name.c_str(), value.data(), value.size());
        }
        if (length < 0 && errno == ENODATA) continue;
        if (length < 0) return fail_errno("getxattr", name);
        value.resize(static_cast<std::size_t>(length));
        if (shift != nullptr) value = shift->xattr(name, std::move(value));
        if (set(name.c_str(), value.data(), value.size()) != 0) return fail_errno("setxattr", name);
    }
    return {};
}

std::array<timespec, 2> times_of(const struct stat& st) { return {st.st_atim, st.st_mtim}; }

}  // namespace

Result<> copy_metadata(int from_fd, const struct stat& from, int fd, const IdShift* shift) {
    if (::fchown(fd, new_uid(from, shift), new_gid(from, shift)) != 0) return fail_errno_at("chown", fd, "");
    const auto list = [&](char* buffer, std::size_t size) { return ::flistxattr(from_fd, buffer, size); };
    const auto get = [&](const char* name, char* buffer, std::size_t size) {
        return ::fgetxattr(from_fd, name, buffer, size);
    };
    const auto set = [&](const char* name, const char* value, std::size_t size) {
        return ::fsetxattr(fd, name, value, size, 0);
    };
    if (auto copied = copy_xattrs(list, get, set, shift); !copied) {
        return std::unexpected(in("Copying extended attributes", std::move(copied).error()));
    }
    if (::fchmod(fd, from.st_mode & 07777) != 0) return fail_errno_at("chmod", fd, "");
    if (::futimens(fd, times_of(from).data()) != 0) return fail_errno_at("utimens", fd, "");
    return {};
}

Result<> copy_entry_metadata(int from_dir_fd, const std::string& name, const struct stat& from, int dir_fd,
                             const IdShift* shift) {
    if (::fchownat(dir_fd, name.c_str(), new_uid(from, shift), new_gid(from, shift), AT_SYMLINK_NOFOLLOW) !=
        0) {
        return fail_errno_at("chown", dir_fd, name);
    }
    const std::string source = entry_path(from_dir_fd, name), target = entry_path(dir_fd, name);
    const auto list = [&](char* buffer, std::size_t size) {
        return ::llistxattr(source.c_str(), buffer, size);
    };
    const auto get = [&](const char* key, char* buffer, std::size_t size) {
        return ::lgetxattr(source.c_str(), key, buffer, size);
    };
    const auto set = [&](const char* key, const char* value, std::size_t size) {
        return ::lsetxattr(target.c_str(), key, value, size, 0);
    };
    if (auto copied = copy_xattrs(list, get, set, shift); !copied) {
        return std::unexpected(in("Copying extended attributes", std::move(copied).error()));
    }
    if (!S_ISLNK(from.st_mode) && ::fchmodat(dir_fd, name.c_str(), from.st_mode & 07777, 0) != 0) {
        return fail_errno_at("chmod", dir_fd, name);
    }
    if (::utimensat(dir_fd, name.c_str(), times_of(from).data(), AT_SYMLINK_NOFOLLOW) != 0) {
        return fail_errno_at("utimens", dir_fd, name);
    }
    return {};
}

}  // namespace lxmgr::storage
