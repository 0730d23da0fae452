#include "storage/tree/copy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <string>
#include <unordered_map>

#include "lxd-daemon/base/own.h"
#include "storage/tree/file_data.h"
#include "storage/tree/list.h"
#include "storage/tree/metadata.h"

namespace lxmgr::storage {
namespace {

class TreeCopier {
public:
    TreeCopier(int to_root_fd, dev_t device, const IdShift* shift, std::uint64_t bytes_per_second)
        : to_root_fd_(to_root_fd), device_(device), shift_(shift), data_(bytes_per_second) {}

    /// `path` is the directory's own, relative to the root, with a slash at its end unless empty.
    Result<> copy_directory(int from, const struct stat& st, int to, const std::string& path, int depth) {
        if (depth > kMaxTreeDepth) {
            return fail(Status::bad_request,
                        fmt::format("Directories are nested deeper than {}", kMaxTreeDepth));
        }
        if (st.st_dev == device_) {
            LX_TRY_AS(const auto entries, list_directory(from));
            for (const auto& entry : entries) LX_TRY(copy_entry(from, to, entry.name, path, depth));
        }
        return copy_metadata(from, st, to, shift_);  // last: filling it changed its times
    }

private:
    Result<> copy_entry(int from, int to, const std::string& name, const std::string& path, int depth) {
        struct stat st{};
        if (::fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
            return fail_errno_at("stat", from, name);
        if (S_ISDIR(st.st_mode)) return copy_subdirectory(from, to, name, path, depth);
        if (st.st_nlink > 1) {
            const auto [link, is_new] = links_.try_emplace(st.st_ino, path + name);
            if (!is_new) {
                if (::linkat(to_root_fd_, link->second.c_str(), to, name.c_str(), 0) == 0) return {};
                return fail_errno_at("Linking", to, name);
            }
        }
        if (S_ISREG(st.st_mode)) return copy_file(from, to, name);
        if (S_ISLNK(st.st_mode)) {
            LX_TRY(copy_symlink(from, to, name));
        } else if (::mknodat(to, name.c_str(), (st.st_mode & S_IFMT) | 0600, st.st_rdev) != 0) {
            return fail_errno_at("mknod", to, name);
        }
        return copy_entry_metadata(from, name, st, to, shift_);
    }

    Result<> copy_subdirectory(int from, int to, const std::string& name, const std::string& path,
                               int depth) {
        constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        const UniqueFd source(::openat(from, name.c_str(), kFlags));
        if (!source) return fail_errno_at("Opening", from, name);
        struct stat st{};
        if (::fstat(source.get(), &st) != 0) return fail_errno_at("fstat", from, name);
        if (::mkdirat(to, name.c_str(), 0700) != 0) return fail_errno_at("mkdir", to, name);
        const UniqueFd target(::openat(to, name.c_str(), kFlags));
        if (!target) return fail_errno_at("Opening", to, name);
        return copy_directory(source.get(), st, target.get(), path + name + "/", depth + 1);
    }

    Result<> copy_file(int from, int to, const std::string& name) {
        // O_NONBLOCK: a fifo that took the file's place meanwhile must not hang the daemon.
        const UniqueFd source(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        if (!source) return fail_errno_at("Opening", from, name);
        struct stat st{};
        if (::fstat(source.get(), &st) != 0) return fail_errno_at("fstat", from, name);
        if (!S_ISREG(st.st_mode)) {
            errno = ESTALE;
            return fail_errno_at("Opening", from, name);
        }
        const UniqueFd target(
            ::openat(to, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!target) return fail_errno_at("Creating", to, name);
        LX_TRY(data_.copy(source.get(), target.get(), static_cast<std::uint64_t>(st.st_size)));
        return copy_metadata(source.get(), st, target.get(), shift_);
    }

    static Result<> copy_symlink(int from, int to, const std::string& name) {
        std::string text(PATH_MAX, '\0');
        const ssize_t n = ::readlinkat(from, name.c_str(), text.data(), text.size() - 1);
        if (n < 0) return fail_errno_at("readlink", from, name);
        text.resize(static_cast<std::size_t>(n));
        if (::symlinkat(text.c_str(), to, name.c_str()) != 0) return fail_errno_at("symlink", to, name);
        return {};
    }

    int to_root_fd_;
    dev_t device_;
    const IdShift* shift_;
    FileCopier data_;
    std::unordered_map<ino_t, std::string> links_;  ///< of files with several names: the first one's path
};

}  // namespace

Result<> copy_tree(int from_fd, int to_fd, const IdShift* shift, std::uint64_t bytes_per_second) {
    struct stat st{};
    if (::fstat(from_fd, &st) != 0) return fail_errno_at("fstat", from_fd, "");
    return TreeCopier(to_fd, st.st_dev, shift, bytes_per_second).copy_directory(from_fd, st, to_fd, "", 1);
}

}  // namespace lxmgr::storage
