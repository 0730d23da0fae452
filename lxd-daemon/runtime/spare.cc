#include "lxd-daemon/runtime/spare.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/sys/pidfd.h"

namespace lxmgr::runtime {
namespace {

/// A start waits for other containers' cgroup moves and for memory; this long means that something hangs.
constexpr std::chrono::milliseconds kMonitorEndTimeout{60'000};
/// What ps(1) shows, with room for the name of a container, which the monitor writes there when it knows it.
std::string shown_name() {
    constexpr std::size_t kRoom = 160;
    std::string text = "(spare)";
    text.resize(kRoom, ' ');
    return text;
}

}  // namespace

Result<IdleMonitor> launch_monitor(const MonitorProgram& program, const std::string& name) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return fail_errno("socketpair", "");
    IdleMonitor monitor;
    monitor.connection.reset(ends[0]);
    const UniqueFd theirs(ends[1]);
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    Command command;
    command.argv = {"lxmgr-monitor", name};
    command.program = program.path();
    LX_TRY_AS(monitor.process,
              spawn(command, {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}, {theirs.get(), 3}}));
    return monitor;
}

void end_monitor(IdleMonitor& monitor, int init_pidfd) {
    monitor.connection.reset();
    if (!sys::wait_ended(monitor.process.pidfd.get(), kMonitorEndTimeout)) {
        if (init_pidfd >= 0) (void)sys::send_signal(init_pidfd, SIGKILL).has_value();
        (void)sys::send_signal(monitor.process.pidfd.get(), SIGKILL).has_value();
    }
    ::waitpid(monitor.process.pid, nullptr, 0);
}

Spare::~Spare() {
    if (ready_) end_monitor(*ready_);
    if (auto removed = cgroups_.remove_spare(); !removed)
        log::warn("spare cgroups not removed", {{"error", removed.error().message}});
}

Result<IdleMonitor> Spare::make() {
    LX_TRY_AS(const auto places, cgroups_.make_spare());
    LX_TRY_AS(IdleMonitor monitor, launch_monitor(program_, shown_name()));
    const std::string number = std::to_string(monitor.process.pid);
    for (const UniqueFd& place : places) {
        if (::write(place.get(), number.data(), number.size()) >= 0) continue;
        const auto error = fail_errno("Moving a process", "to the spare cgroups");
        end_monitor(monitor);
        return error;
    }
    return monitor;
}

bool Spare::fill() {
    if (!cgroups_.start_moves() || is_ready()) return false;
    auto made = make();
    const std::lock_guard lock(mutex_);
    if (!made && !std::exchange(failed_, true))
        log::warn("no monitor in reserve", {{"error", made.error().message}});
    if (!made) return false;
    failed_ = false;
    ready_ = std::move(*made);
    return true;
}

bool Spare::is_ready() {
    const std::lock_guard lock(mutex_);
    if (ready_ && sys::wait_ended(ready_->process.pidfd.get(), std::chrono::milliseconds(0))) {
        end_monitor(*ready_);  // somebody killed it
        ready_.reset();
    }
    return ready_.has_value();
}

std::optional<IdleMonitor> Spare::take(const std::string& name) {
    if (!is_ready()) return std::nullopt;
    const std::lock_guard lock(mutex_);
    if (!ready_ || !cgroups_.take_spare(name)) return std::nullopt;
    return std::exchange(ready_, std::nullopt);
}

}  // namespace lxmgr::runtime
