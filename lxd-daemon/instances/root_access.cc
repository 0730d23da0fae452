#include "lxd-daemon/instances/root_access.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <optional>

#include "lxd-daemon/sys/path.h"

namespace lxmgr::instances {
namespace {

constexpr std::uint32_t kNobody = 65534;

Result<> check_path(const std::string& path) {
    if (path.empty()) return fail(Status::bad_request, "Missing path argument");
    if (path.contains('\0')) return fail(Status::bad_request, "The path holds a zero byte");
    return {};
}

bool holds(const std::vector<sys::IdRange>& ranges, std::uint32_t id) {
    return std::ranges::any_of(ranges, [id](const sys::IdRange& range) {
        return id >= range.host_first && id - range.host_first < range.count;
    });
}

}  // namespace

std::uint32_t instance_id(const std::vector<sys::IdRange>& ranges, std::uint32_t host) {
    if (ranges.empty()) return host;
    for (const auto& range : ranges) {
        if (host >= range.host_first && host - range.host_first < range.count)
            return range.container_first + (host - range.host_first);
    }
    return kNobody;
}

std::uint32_t host_uid(const InstanceRoot& root, std::uint32_t uid) {
    return root.idmap.uids.empty() ? uid : root.idmap.host_uid(uid);
}
std::uint32_t host_gid(const InstanceRoot& root, std::uint32_t gid) {
    return root.idmap.gids.empty() ? gid : root.idmap.host_gid(gid);
}

Result<> refuse_mount_point(int parent, const std::string& name, const std::string& path) {
    struct statx st{};
    if (::statx(parent, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) != 0) return {};
    if ((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) return {};
    return fail(Status::bad_request,
                fmt::format("'{}' is in use: the instance has something mounted there", path));
}

Result<std::pair<std::string, std::string>> split_last(const std::string& path) {
    LX_TRY(check_path(path));
    std::string whole = path;
    while (whole.size() > 1 && whole.back() == '/') whole.pop_back();
    const auto at = whole.rfind('/');
    std::string last = at == std::string::npos ? whole : whole.substr(at + 1);
    if (last.empty() || last == "." || last == "..")
        return fail(Status::bad_request, fmt::format("'{}' names no file", path));
    return std::pair{at == std::string::npos || at == 0 ? std::string("/") : whole.substr(0, at),
                     std::move(last)};
}

std::unexpected<Error> reword(Error error) {
    if (error.status == Status::not_found) error.message = "Not Found";
    return std::unexpected(std::move(error));
}

Result<struct stat> stat_of(int fd, const std::string& path) {
    struct stat st{};
    if (::fstatat(fd, "", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("fstat", path);
    return st;
}

Result<UniqueFd> open_object(const InstanceRoot& root, const std::string& path) {
    LX_TRY(check_path(path));
    auto opened = sys::open_in_root(root.fd.get(), path, O_PATH | O_NOFOLLOW);
    if (!opened) return reword(std::move(opened).error());
    return opened;
}

Result<UniqueFd> reopen(int handle, int flags, const std::string& path) {
    UniqueFd fd(::open(fmt::format("/proc/self/fd/{}", handle).c_str(), flags | O_CLOEXEC | O_NOCTTY));
    if (!fd) return fail_errno("Opening", path);
    return fd;
}

Result<> require_access(const InstanceRoot& root, int fd, unsigned wanted, const std::string& path) {
    if (root.idmap.uids.empty()) return {};
    LX_TRY_AS(const struct stat st, stat_of(fd, path));
    if (holds(root.idmap.uids, st.st_uid) && holds(root.idmap.gids, st.st_gid)) return {};
    if ((st.st_mode & 07U & wanted) == wanted) return {};
    return fail(Status::forbidden,
                fmt::format("'{}' leads to what a user of the host owns, whom the instance has no id for: "
                            "not even its root may {} it",
                            path,
                            (wanted & change) != 0  ? "change"
                            : (wanted & write) != 0 ? "write to"
                                                    : "read"));
}

Result<UniqueFd> reopen_allowed(const InstanceRoot& root, int handle, int flags, const std::string& path) {
    const int access = flags & O_ACCMODE;
    const unsigned wanted = (access == O_WRONLY ? 0U : read) | (access == O_RDONLY ? 0U : write);
    LX_TRY(require_access(root, handle, wanted, path));
    return reopen(handle, flags, path);
}

Result<std::string> link_of(int handle, const std::string& path) {
    std::string target(PATH_MAX, '\0');
    const ssize_t n = ::readlinkat(handle, "", target.data(), target.size());
    if (n < 0) return fail_errno("readlink", path);
    target.resize(static_cast<std::size_t>(n));
    return target;
}

Result<> apply_ownership(const InstanceRoot& root, int fd, const Ownership& ownership,
                         const std::string& path) {
    if (ownership.uid || ownership.gid || ownership.mode) LX_TRY(require_access(root, fd, change, path));
    const uid_t uid = ownership.uid ? host_uid(root, *ownership.uid) : static_cast<uid_t>(-1);
    const gid_t gid = ownership.gid ? host_gid(root, *ownership.gid) : static_cast<gid_t>(-1);
    if ((ownership.uid || ownership.gid) && ::fchown(fd, uid, gid) != 0)
        return fail_errno("Changing the owner of", path);
    if (ownership.mode && ::fchmod(fd, *ownership.mode & kModeBits) != 0)
        return fail_errno("Changing the mode of", path);
    return {};
}

Result<UniqueFd> open_parent(const InstanceRoot& root, const std::string& dir) {
    auto parent = sys::open_in_root(root.fd.get(), dir, O_PATH | O_DIRECTORY);
    if (!parent) return reword(std::move(parent).error());
    LX_TRY(require_access(root, parent->get(), write | search, dir));
    return parent;
}

namespace {

/// Where a symlink leads that is there and has no target; nullopt: there is none of that name.
std::optional<std::string> dangling_target(int parent, const std::pair<std::string, std::string>& place) {
    const UniqueFd link(::openat(parent, place.second.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    const auto target = link ? link_of(link.get(), place.second) : Result<std::string>("");
    if (!target || target->empty()) return std::nullopt;
    return target->starts_with('/') ? *target : place.first + "/" + *target;
}

}  // namespace

Result<UniqueFd> create_file(const InstanceRoot& root, const std::string& path, const Ownership& ownership,
                             int flags) {
    constexpr int kMaxLinks = 40;  // path_resolution(7)
    std::string at = path;
    for (int links = 0; links <= kMaxLinks; ++links) {
        LX_TRY_AS(const auto place, split_last(at));
        LX_TRY_AS(const UniqueFd parent, open_parent(root, place.first));
        int error = 0;
        LX_TRY_AS(UniqueFd fd, as_owner(root, ownership, [&]() -> Result<UniqueFd> {
                      constexpr int kNew =
                          O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC;
                      UniqueFd made(::openat(parent.get(), place.second.c_str(), kNew | flags, 0600));
                      error = errno;
                      return made;
                  }));
        if (fd) {
            LX_TRY_AS(const struct stat st, stat_of(fd.get(), path));
            if (!S_ISREG(st.st_mode))
                return fail(Status::bad_request, fmt::format("'{}' is not a regular file", path));
            LX_TRY(require_access(root, fd.get(), write, path));
            return fd;
        }
        auto next = error == ELOOP ? dangling_target(parent.get(), place) : std::nullopt;
        errno = error;
        if (!next) return fail_errno("Creating", path);
        at = std::move(*next);
    }
    errno = ELOOP;
    return fail_errno("Creating", path);
}

}  // namespace lxmgr::instances
