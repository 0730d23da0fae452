#include "storage/tree/list.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <climits>

namespace lxmgr::storage {

Result<UniqueFd> reopen_directory(int dir_fd) {
    UniqueFd fd(::openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail_errno_at("Opening", dir_fd, ".");
    return fd;
}

std::unexpected<Error> fail_errno_at(std::string_view call, int dir_fd, std::string_view name) {
    const int saved = errno;
    std::array<char, PATH_MAX> path;
    const ssize_t n = ::readlink(fmt::format("/proc/self/fd/{}", dir_fd).c_str(), path.data(), path.size());
    const std::string_view directory(path.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
    errno = saved;
    return fail_errno(call, fmt::format("{}/{}", directory, name));
}

Result<std::vector<Entry>> list_directory(int dir_fd) {
    std::vector<Entry> entries;
    if (::lseek(dir_fd, 0, SEEK_SET) < 0) return fail_errno_at("Reading", dir_fd, "");
    alignas(dirent64) std::array<char, 32768> buffer;
    for (;;) {
        const ssize_t n = ::getdents64(dir_fd, buffer.data(), buffer.size());
        if (n < 0) return fail_errno_at("Reading", dir_fd, "");
        if (n == 0) return entries;
        for (std::size_t at = 0; at < static_cast<std::size_t>(n);) {
            const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
            at += entry->d_reclen;
            const std::string_view name = entry->d_name;
            if (name != "." && name != "..") entries.push_back({std::string(name), entry->d_type});
        }
    }
}

}  // namespace lxmgr::storage
