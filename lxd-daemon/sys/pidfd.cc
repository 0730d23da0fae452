#include "lxd-daemon/sys/pidfd.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace lxmgr::sys {

Result<UniqueFd> open_pidfd(pid_t pid) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (fd) return fd;
    const bool gone = errno == ESRCH;
    auto error = fail_errno("pidfd_open", std::to_string(pid));
    if (gone) error.error().status = Status::not_found;
    return error;
}

Result<> send_signal(int pidfd, int signal_number) {
    if (::syscall(SYS_pidfd_send_signal, pidfd, signal_number, nullptr, 0) == 0) return {};
    const bool gone = errno == ESRCH;
    auto error = fail_errno("pidfd_send_signal", std::to_string(signal_number));
    if (gone) error.error().status = Status::not_found;
    return error;
}

bool has_ended(int pidfd) { return wait_ended(pidfd, std::chrono::milliseconds{0}); }

bool wait_ended(int pidfd, std::optional<std::chrono::milliseconds> timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout.value_or(std::chrono::milliseconds{0});
    for (;;) {
        int wait_ms = -1;
        if (timeout) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
            wait_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1 << 30));
        }
        pollfd waited{pidfd, POLLIN, 0};
        const int ready = ::poll(&waited, 1, wait_ms);
        if (ready > 0) return true;
        if (ready == 0) return false;
        if (errno != EINTR) return true;  // not a pidfd: nothing to wait for
    }
}

}  // namespace lxmgr::sys
