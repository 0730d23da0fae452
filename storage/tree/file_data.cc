#include "storage/tree/file_data.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>

#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

/// Errors by which the kernel says "not for these two files", copy_file_range(2) and ioctl_ficlone(2).
bool is_unsupported(int error) {
    return error == EOPNOTSUPP || error == EXDEV || error == EINVAL || error == ENOTTY || error == ENOSYS ||
           error == EPERM;
}

}  // namespace

void FileCopier::keep_pace(std::size_t bytes) {
    if (bytes_per_second_ == 0) return;
    // What was not used of the rate while nothing was copied is not made up for.
    const auto now = std::chrono::steady_clock::now();
    next_ = std::max(next_, now) +
            std::chrono::nanoseconds(static_cast<std::int64_t>(bytes * 1'000'000'000U / bytes_per_second_));
    std::this_thread::sleep_until(next_);
}

Result<> FileCopier::copy_by_reading(int from, int to, std::int64_t at, std::int64_t end) {
    std::array<char, 65536> buffer;
    while (at < end) {
        const auto want = std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(end - at));
        const ssize_t n = ::pread(from, buffer.data(), want, at);
        if (n < 0) return fail_errno_at("Reading", from, "");
        if (n == 0) return {};  // truncated meanwhile: the rest stays a hole
        for (ssize_t done = 0; done < n;) {
            const ssize_t w =
                ::pwrite(to, buffer.data() + done, static_cast<std::size_t>(n - done), at + done);
            if (w < 0) return fail_errno_at("Writing", to, "");
            done += w;
        }
        at += n;
        keep_pace(static_cast<std::size_t>(n));
    }
    return {};
}

Result<> FileCopier::copy_range(int from, int to, std::int64_t at, std::int64_t end) {
    std::int64_t in = at, out = at;
    while (can_copy_range_ && in < end) {
        const ssize_t n = ::copy_file_range(from, &in, to, &out, static_cast<std::size_t>(end - in), 0);
        if (n > 0) continue;
        if (n == 0) return {};
        if (!is_unsupported(errno)) return fail_errno_at("Copying", from, "");
        can_copy_range_ = false;
    }
    return copy_by_reading(from, to, in, end);
}

Result<> FileCopier::copy(int from, int to, std::uint64_t size_bytes) {
    if (size_bytes == 0) return {};
    if (can_clone_) {
        if (::ioctl(to, FICLONE, from) == 0) return {};
        if (!is_unsupported(errno)) return fail_errno_at("Cloning", from, "");
        can_clone_ = false;
    }
    const auto size = static_cast<std::int64_t>(size_bytes);
    if (::ftruncate(to, size) != 0) return fail_errno_at("ftruncate", to, "");
    for (std::int64_t at = 0; at < size;) {
        const std::int64_t data = ::lseek(from, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) return {};  // only a hole is left, lseek(2)
        if (data < 0) return fail_errno_at("SEEK_DATA", from, "");
        const std::int64_t hole = ::lseek(from, data, SEEK_HOLE);
        if (hole < 0) return fail_errno_at("SEEK_HOLE", from, "");
        LX_TRY(copy_range(from, to, data, std::min(hole, size)));
        at = hole;
    }
    return {};
}

}  // namespace lxmgr::storage
