#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "lxd-daemon/instances/root_access.h"
#include "lxd-daemon/sys/path.h"

namespace lxmgr::instances {

UniqueFd unnamed_file(const InstanceRoot& root, const std::string& path, const Ownership& ownership) {
    // The mount of a stopped instance is not to be kept busy for as long as a client takes to send.
    const auto parts = split_last(path);
    if (root.mount || !parts || sys::open_in_root(root.fd.get(), path, O_PATH)) return UniqueFd();
    const auto parent = open_parent(root, parts->first);
    if (!parent) return UniqueFd();
    auto made = as_owner(root, ownership, [&]() -> Result<UniqueFd> {
        return UniqueFd(::openat(parent->get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    });
    return made ? *std::move(made) : UniqueFd();
}

Result<bool> name_file(const InstanceRoot& root, const std::string& path, int file,
                       const Ownership& ownership) {
    LX_TRY_AS(const auto parts, split_last(path));
    LX_TRY_AS(const UniqueFd parent, open_parent(root, parts.first));
    Ownership whole = ownership;
    whole.mode = ownership.mode.value_or(0644);
    LX_TRY(apply_ownership(root, file, whole, path));
    // open(2), O_TMPFILE: this form needs no capability in the file's user namespace.
    const std::string link = fmt::format("/proc/self/fd/{}", file);
    return as_owner(root, whole, [&]() -> Result<bool> {
        if (::linkat(AT_FDCWD, link.c_str(), parent.get(), parts.second.c_str(), AT_SYMLINK_FOLLOW) == 0)
            return true;
        if (errno == EEXIST || errno == EXDEV || errno == ENOENT) return false;
        return fail_errno("Creating", path);
    });
}

}  // namespace lxmgr::instances
