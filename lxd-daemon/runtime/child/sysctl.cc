#include "lxd-daemon/runtime/child/sysctl.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lxmgr::child {

void write_sysctls(const Report& report, const char* const* pairs, std::size_t count) {
    if (count == 0) return;
    const int root = ::open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (std::size_t i = 0; i < count; ++i) {
        open_how how{};
        how.flags = O_WRONLY | O_CLOEXEC;
        how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
        const auto fd = static_cast<int>(::syscall(SYS_openat2, root, pairs[2 * i], &how, sizeof how));
        const char* const value = pairs[2 * i + 1];
        const std::size_t size = std::strlen(value);
        const bool written = fd >= 0 && ::write(fd, value, size) == static_cast<ssize_t>(size);
        report.require(written, wire::Step::write_sysctl, static_cast<std::uint32_t>(i));
        ::close(fd);
    }
    ::close(root);
}

}  // namespace lxmgr::child
