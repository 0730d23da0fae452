#include "storage/tree/usage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <unordered_set>

#include "lxd-daemon/base/own.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

class Meter {
public:
    explicit Meter(const struct stat& root) : device_(root.st_dev) { add(root); }

    Result<> walk(int fd, int depth) {
        LX_TRY_AS(const auto entries, list_directory(fd));
        for (const auto& entry : entries) {
            struct stat st{};
            if (::fstatat(fd, entry.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
                if (errno == ENOENT) continue;
                return fail_errno_at("stat", fd, entry.name);
            }
            if (st.st_dev != device_ || !add(st) || !S_ISDIR(st.st_mode) || depth == kMaxTreeDepth) continue;
            const UniqueFd child(
                ::openat(fd, entry.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
            if (!child && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) continue;
            if (!child) return fail_errno_at("Opening", fd, entry.name);
            LX_TRY(walk(child.get(), depth + 1));
        }
        return {};
    }

    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

private:
    bool add(const struct stat& st) {
        if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && !counted_.insert(st.st_ino).second) return false;
        bytes_ +=
            static_cast<std::uint64_t>(st.st_blocks) * 512;  // st_blocks is in 512-byte units, stat(3type)
        return true;
    }

    dev_t device_;
    std::uint64_t bytes_ = 0;
    std::unordered_set<ino_t> counted_;
};

}  // namespace

Result<std::uint64_t> tree_usage_bytes(int root_fd) {
    struct stat st{};
    if (::fstat(root_fd, &st) != 0) return fail_errno_at("fstat", root_fd, "");
    Meter meter(st);
    LX_TRY(meter.walk(root_fd, 1));
    return meter.bytes();
}

}  // namespace lxmgr::storage
