#include "lxd-daemon/devices/proxy_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstring>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/pidfd.h"

namespace lxmgr::devices {
namespace {

constexpr int kAnswerMs = 20'000;
constexpr std::chrono::milliseconds kEndTimeout{10'000};
/// As proxy/route.h has them.
constexpr int kLock = 3, kControl = 4, kPidfd = 5, kNetns = 6, kRoot = 7, kFirstListener = 8;

Result<std::string> program() {
    std::string self(PATH_MAX, '\0');
    const ssize_t size = ::readlink("/proc/self/exe", self.data(), self.size());
    if (size <= 0) return fail_errno("readlink", "/proc/self/exe");
    self.resize(static_cast<std::size_t>(size));
    return self.substr(0, self.rfind('/') + 1) + "lxmgr-proxy";
}

UniqueFd open_lock(const std::string& path, int flags) {
    return UniqueFd(::open(path.c_str(), flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600));
}

/// Who holds the lock, fcntl(2); 0: nobody.
pid_t holder_of(int lock) {
    struct flock query{};
    query.l_type = F_WRLCK;
    query.l_whence = SEEK_SET;
    if (::fcntl(lock, F_GETLK, &query) != 0 || query.l_type == F_UNLCK) return 0;
    return query.l_pid;
}

Result<> await_ready(int control) {
    pollfd waited{control, POLLIN, 0};
    std::string answer(16, '\0');
    if (::poll(&waited, 1, kAnswerMs) <= 0)
        return fail(Status::internal, "The forwarder of the proxy device did not start in time");
    const ssize_t size = ::recv(control, answer.data(), answer.size(), 0);
    answer.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    if (answer == "R") return {};
    const auto error = answer.starts_with('E') ? parse_int(answer.substr(1)) : std::nullopt;
    return fail(Status::internal, fmt::format("The forwarder of the proxy device failed: {}",
                                              std::strerror(static_cast<int>(error.value_or(EPROTO)))));
}

}  // namespace

Result<> start_proxy(const ProxyProcess& process) {
    LX_TRY(end_proxy(process.lock_file));
    const UniqueFd lock = open_lock(process.lock_file, O_CREAT);
    if (!lock) return fail_errno("Opening", process.lock_file);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno("socketpair", "");
    const UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    std::vector<std::pair<int, int>> fds{
        {null.get(), 0},          {null.get(), 1},         {null.get(), 2},         {lock.get(), kLock},
        {theirs.get(), kControl}, {process.pidfd, kPidfd}, {process.netns, kNetns}, {process.root, kRoot}};
    int number = kFirstListener;
    for (const int listener : process.listeners) fds.emplace_back(listener, number++);
    Command command;
    command.argv = {"lxmgr-proxy", process.label};
    command.argv.insert(command.argv.end(), process.arguments.begin(), process.arguments.end());
    LX_TRY_AS(command.program, program());
    LX_TRY_AS(const Child child, spawn(command, fds));
    theirs.reset();
    // It goes on as a child of nobody's, and ends here.
    while (::waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    LX_TRY(await_ready(ours.get()));
    failpoint("devices.proxy_ready");
    if (::send(ours.get(), "G", 1, MSG_NOSIGNAL) != 1)
        return fail_errno("Starting", "the forwarder of the proxy device");
    failpoint("devices.proxy_started");
    return {};
}

bool proxy_runs(const std::string& lock_file) {
    const UniqueFd lock = open_lock(lock_file, 0);
    return lock && holder_of(lock.get()) > 0;
}

Result<> end_proxy(const std::string& lock_file) {
    const UniqueFd lock = open_lock(lock_file, 0);
    if (!lock) return errno == ENOENT ? Result<>{} : Result<>(fail_errno("Opening", lock_file));
    if (const pid_t pid = holder_of(lock.get()); pid > 0) {
        const auto pidfd = sys::open_pidfd(pid);
        // Still the holder after the pidfd was opened: so that is of this very process.
        if (pidfd && holder_of(lock.get()) == pid) {
            [[maybe_unused]] const auto sent = sys::send_signal(pidfd->get(), SIGKILL);
            if (!sys::wait_ended(pidfd->get(), kEndTimeout))
                return fail(Status::internal, fmt::format("lxmgr-proxy with pid {} does not end", pid));
        }
    }
    ::unlink(lock_file.c_str());
    return {};
}

}  // namespace lxmgr::devices
