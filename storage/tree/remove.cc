#include "storage/tree/remove.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/strings.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

constexpr int kMaxDepth = 64;

class Remover {
public:
    Remover(int top_fd, dev_t device, const Interrupted& interrupted)
        : top_fd_(top_fd), device_(device), interrupted_(interrupted) {}

    Result<std::vector<std::string>> run(const std::string& name) {
        waiting_.push_back(name);
        while (!waiting_.empty()) {
            std::string next = std::move(waiting_.back());
            waiting_.pop_back();
            LX_TRY_AS(const bool done, remove(top_fd_, {next, DT_UNKNOWN}, 0));
            if (done) continue;
            waiting_.push_back(std::move(next));
            break;
        }
        return std::move(waiting_);
    }

private:
    Result<bool> remove(int dir_fd, const Entry& entry, int depth) {
        if (interrupted_()) return false;
        if (entry.type != DT_DIR) {
            if (::unlinkat(dir_fd, entry.name.c_str(), 0) == 0 || errno == ENOENT) return true;
            if (errno != EISDIR) return fail_errno_at("Removing", dir_fd, entry.name);
        }
        if (depth >= kMaxDepth) return move_up(dir_fd, entry.name);
        const UniqueFd child(
            ::openat(dir_fd, entry.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!child && errno == ENOENT) return true;
        if (!child) return fail_errno_at("Opening", dir_fd, entry.name);
        LX_TRY_AS(const bool done, empty(child.get(), depth + 1));
        if (!done) return false;
        if (::unlinkat(dir_fd, entry.name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
        if (errno != ENOTEMPTY) return fail_errno_at("Removing", dir_fd, entry.name);
        // Somebody who had it open made a file in it while it was emptied: once more.
        LX_TRY_AS(const bool again, empty(child.get(), depth + 1));
        if (again && ::unlinkat(dir_fd, entry.name.c_str(), AT_REMOVEDIR) != 0)
            return fail_errno_at("Removing", dir_fd, entry.name);
        return again;
    }

    Result<bool> empty(int fd, int depth) {
        struct stat st{};
        if (::fstat(fd, &st) != 0) return fail_errno_at("fstat", fd, "");
        if (st.st_dev != device_) {
            errno = EXDEV;
            return fail_errno_at("Removing", fd, "");
        }
        LX_TRY_AS(const auto entries, list_directory(fd));
        for (const auto& entry : entries) {
            LX_TRY_AS(const bool done, remove(fd, entry, depth));
            if (!done) return false;
        }
        return true;
    }

    Result<bool> move_up(int dir_fd, const std::string& name) {
        const std::string up = "deep-" + random_hex(12);
        if (::renameat(dir_fd, name.c_str(), top_fd_, up.c_str()) != 0) {
            return fail_errno_at("Renaming", dir_fd, name);
        }
        waiting_.push_back(up);
        return true;
    }

    int top_fd_;
    dev_t device_;
    const Interrupted& interrupted_;
    std::vector<std::string> waiting_;
};

}  // namespace

Result<std::vector<std::string>> remove_tree_at(int dir_fd, const std::string& name,
                                                const Interrupted& interrupted) {
    struct stat st{};
    if (::fstat(dir_fd, &st) != 0) return fail_errno_at("fstat", dir_fd, "");
    return Remover(dir_fd, st.st_dev, interrupted).run(name);
}

}  // namespace lxmgr::storage
