#include "images/file_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::images {
namespace {

constexpr std::size_t kFileBytesBuffer = std::size_t{256} << 10;

}  // namespace

FileBytes::FileBytes(UniqueFd fd, std::string path, std::uint64_t size_bytes)
    : fd_(std::move(fd)), path_(std::move(path)), size_bytes_(size_bytes) {}

Result<FileBytes> FileBytes::open(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    struct stat st{};
    if (::fstat(fd.get(), &st) != 0) return fail_errno("fstat", path);
    ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    return FileBytes(std::move(fd), path, static_cast<std::uint64_t>(st.st_size));
}

Result<std::string_view> FileBytes::next(const std::stop_token& stop) {
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(kFileBytesBuffer);
    for (;;) {
        if (stop.stop_requested()) return fail(Status::unavailable, "Reading the image was cancelled");
        const ssize_t n = ::read(fd_.get(), buffer_.get(), kFileBytesBuffer);
        if (n >= 0) return std::string_view(buffer_.get(), static_cast<std::size_t>(n));
        if (errno != EINTR) return fail_errno("Reading", path_);
    }
}

}  // namespace lxmgr::images
