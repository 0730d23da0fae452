#include "lxd-daemon/sys/path.h"

#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::sys {
namespace {

constexpr int kRaceRetries = 64;

Result<UniqueFd> open2(int root_fd, const std::string& path, int flags, mode_t mode, std::uint64_t resolve) {
    if (path.find('\0') != std::string::npos) return fail(Status::bad_request, "The path holds a zero byte");
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    // openat2 rejects a mode without a creating flag, unlike open.
    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) how.mode = mode;
    how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
    for (int tries = 0;; ++tries) {
        UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root_fd, path.c_str(), &how, sizeof how)));
        if (fd) return fd;
        // EAGAIN: a rename elsewhere made ".." unsafe to judge, openat2(2) says to try again.
        if ((errno == EAGAIN && tries < kRaceRetries) || errno == EINTR) continue;
        const int code = errno;
        auto error = fail_errno("Opening", path);
        if (code == ENOENT || code == ENOTDIR) error.error().status = Status::not_found;
        if (code == EXDEV || code == ELOOP) error.error().status = Status::bad_request;
        return error;
    }
}

}  // namespace

Result<UniqueFd> open_in_root(int root_fd, const std::string& path, int flags, mode_t mode) {
    return open2(root_fd, path, flags, mode, RESOLVE_IN_ROOT);
}

Result<UniqueFd> open_beneath(int root_fd, const std::string& path, int flags, mode_t mode) {
    return open2(root_fd, path, flags, mode, RESOLVE_BENEATH);
}

Result<UniqueFd> open_no_symlinks(int root_fd, const std::string& path, int flags, mode_t mode) {
    return open2(root_fd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

Result<UniqueFd> make_directories_in_root(int root_fd, const std::string& path, mode_t mode) {
    LX_TRY_AS(UniqueFd current, open_in_root(root_fd, "/", O_PATH | O_DIRECTORY));
    std::string walked;
    for (const std::string& part : split(path, '/')) {
        if (part.empty() || part == ".") continue;
        if (part == "..") return fail(Status::bad_request, "The path '" + path + "' holds '..'");
        walked += "/" + part;
        // Made in the directory that was resolved, then resolved again from the root, since it may have been
        // a link.
        if (::mkdirat(current.get(), part.c_str(), mode) != 0 && errno != EEXIST)
            return fail_errno("mkdir", walked);
        LX_TRY_AS(current, open_in_root(root_fd, walked, O_PATH | O_DIRECTORY));
    }
    return current;
}

}  // namespace lxmgr::sys
