#include "storage/overlay/evident.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/own.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr int kReading = O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;

bool look_alike(const struct stat& one, const struct stat& other) {
    return S_ISREG(one.st_mode) && S_ISREG(other.st_mode) && one.st_size == other.st_size &&
           one.st_mtim.tv_sec == other.st_mtim.tv_sec && one.st_mtim.tv_nsec == other.st_mtim.tv_nsec;
}

bool hold_the_same(int one, int other) {
    std::array<char, 65536> a, b;
    for (;;) {
        const ssize_t size = ::read(one, a.data(), a.size());
        if (size < 0 || ::read(other, b.data(), b.size()) != size) return false;
        if (size == 0) return true;
        if (!std::equal(a.begin(), a.begin() + size, b.begin())) return false;
    }
}

/// Its files are found elsewhere in the lower tree (kernel, overlayfs.rst, "redirect_dir").
bool was_moved(int directory) { return ::fgetxattr(directory, "trusted.overlay.redirect", nullptr, 0) >= 0; }

Result<bool> compare(int upper, int lower, int depth) {
    if (was_moved(upper) || depth > kMaxTreeDepth) return false;
    LX_TRY_AS(const auto entries, list_directory(upper));
    for (const auto& entry : entries) {
        const char* const name = entry.name.c_str();
        struct stat mine{}, theirs{};
        if (::fstatat(upper, name, &mine, AT_SYMLINK_NOFOLLOW) != 0)
            return fail_errno_at("stat", upper, entry.name);
        if (::fstatat(lower, name, &theirs, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno != ENOENT) return fail_errno_at("stat", lower, entry.name);
            if (!S_ISDIR(mine.st_mode)) continue;
            // Nothing below has a counterpart, but a directory of the image may have been moved here.
        }
        if (S_ISDIR(mine.st_mode)) {
            const UniqueFd child(::openat(upper, name, kDirectory));
            if (!child) return fail_errno_at("Opening", upper, entry.name);
            if (!S_ISDIR(theirs.st_mode)) {
                if (was_moved(child.get())) return false;
                continue;
            }
            const UniqueFd other(::openat(lower, name, kDirectory));
            if (!other) return fail_errno_at("Opening", lower, entry.name);
            LX_TRY_AS(const bool evident, compare(child.get(), other.get(), depth + 1));
            if (!evident) return false;
        } else if (look_alike(mine, theirs)) {
            const UniqueFd one(::openat(upper, name, kReading)), other(::openat(lower, name, kReading));
            if (!one || !other || !hold_the_same(one.get(), other.get())) return false;
        }
    }
    return true;
}

}  // namespace

Result<bool> differs_evidently(int upper_fd, int lower_fd) { return compare(upper_fd, lower_fd, 1); }

}  // namespace lxmgr::storage
