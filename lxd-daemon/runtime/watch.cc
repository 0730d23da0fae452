#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/runtime/impl.h"
#include "lxd-daemon/runtime/run_notes.h"
#include "lxd-daemon/runtime/seccomp.h"
#include "lxd-daemon/sys/pidfd.h"

namespace lxmgr::runtime {
namespace {

/// Killed processes may hang in the kernel (a dead NFS server); this long we wait for them.
constexpr std::chrono::milliseconds kDeathTimeout{10'000};

ExitStatus describe(bool signalled, int code) {
    // reboot(2) in a pid namespace ends its init by these signals: SIGINT for halt and power-off, SIGHUP for
    // restart.
    if (signalled && code == SIGINT) return {ExitStatus::Kind::halt, 0, "was halted from inside"};
    if (signalled && code == SIGHUP) return {ExitStatus::Kind::reboot, 0, "asked for a reboot"};
    if (signalled)
        return {ExitStatus::Kind::signalled, code,
                fmt::format("init was killed by signal {} ({})", code, ::strsignal(code))};
    return {ExitStatus::Kind::exited, code, fmt::format("init exited with status {}", code)};
}

}  // namespace

void remove_run_files(int run_dir) {
    for (const char* name : {wire::kSocketName, wire::kExitName, "exit.tmp"}) ::unlinkat(run_dir, name, 0);
    remove_run_notes(run_dir);
}

void Impl::forget_exit(const std::string& run_dir) {
    const UniqueFd dir(::open(run_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (dir) remove_run_files(dir.get());
}

std::optional<ExitStatus> read_exit(const std::string& run_dir) {
    const auto text = read_file(fmt::format("{}/{}", run_dir, wire::kExitName), 4096);
    if (!text) return std::nullopt;
    const auto words = split(trim(*text), ' ');
    const auto code = words.size() == 2 ? parse_int(words[1]) : std::nullopt;
    if (!code || (words[0] != "exited" && words[0] != "signalled")) return std::nullopt;
    return describe(words[0] == "signalled", static_cast<int>(*code));
}

Result<std::unique_ptr<Runtime>> Runtime::open(const Config& config, Listener listener) {
    LX_TRY_AS(auto cgroups, sys::Cgroups::open(config.cgroup_parent));
    LX_TRY_AS(auto program, MonitorProgram::open(config.monitor_program));
    LX_TRY_AS(auto seccomp, compile_seccomp({}, false));
    auto impl = std::make_unique<Impl>(std::move(cgroups), std::move(program), std::move(seccomp),
                                       std::move(listener));
    LX_TRY(impl->run());
    return std::unique_ptr<Runtime>(std::move(impl));
}

Impl::Impl(sys::Cgroups cgroups, MonitorProgram program, std::string seccomp, Listener listener)
    : cgroups_(std::move(cgroups)),
      program_(std::move(program)),
      seccomp_(std::move(seccomp)),
      listener_(std::move(listener)),
      spare_(cgroups_, program_),
      warmer_(cgroups_, spare_) {}

Impl::~Impl() {
    thread_.request_stop();
    const std::uint64_t one = 1;
    if (wake_) (void)!::write(wake_.get(), &one, sizeof one);
}

Result<> Impl::run() {
    epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    wake_.reset(::eventfd(0, EFD_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLIN;
    if (!epoll_ || !wake_ || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
        return fail_errno("epoll", "of the runtime");
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { watch_all(stop); });
    return {};
}

Running Impl::adopt(const LivePtr& live) {
    const std::lock_guard lock(mutex_);
    reserved_.erase(live->name);
    live_[live->name] = live;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = live->connection.get();
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, live->connection.get(), &event);
    return {.init_pid = live->init_pid,
            .ready = live->ready,
            .frozen = false,
            .started_at_ns = live->started_at_ns,
            .ready_at_ns = live->ready_at_ns};
}

void Impl::watch_all(const std::stop_token& stop) {
    std::array<epoll_event, 32> events;
    while (!stop.stop_requested()) {
        const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            LivePtr live;
            {
                const std::lock_guard lock(mutex_);
                for (const auto& [name, candidate] : live_) {
                    if (candidate->connection.get() == fd) live = candidate;
                }
            }
            if (live) on_event(live);
        }
    }
}

void Impl::on_event(const LivePtr& live) {
    for (;;) {
        const auto message = poll_monitor(live->connection.get());
        if (!message) return finish(live);
        if (!*message) return;
        if ((*message)->type == wire::Type::ready) on_ready(live, (*message)->wide(0));
    }
}

void Impl::end_boot(const LivePtr& live) {
    const std::lock_guard lock(mutex_);
    if (std::exchange(live->booting, false)) warmer_.boot_ended();
}

void Impl::on_ready(const LivePtr& live, std::int64_t at_ns) {
    end_boot(live);
    bool halt = false;
    {
        const std::lock_guard lock(mutex_);
        live->ready = true;
        live->ready_at_ns = at_ns;
        halt = std::exchange(live->halt_when_ready, false);
    }
    bool understood = false;
    if (halt) (void)send_halt(*live, understood).has_value();
    if (listener_.on_ready) listener_.on_ready(live->name, at_ns);
}

/// The monitor records the exit before it ends. When it has not, it was killed: then nobody serves the
/// container any more (console, exec, exit status), and it must not go on unnoticed.
ExitStatus Impl::exit_of(const LivePtr& live) {
    if (live->monitor.pid > 0) ::waitpid(live->monitor.pid, nullptr, 0);
    if (auto status = read_exit(live->run_dir)) return *status;
    log::error("monitor was killed, ending its container", {{"container", live->name}});
    if (auto killed = cgroups_.kill(live->name); !killed)
        (void)sys::send_signal(live->init_pidfd.get(), SIGKILL).has_value();
    sys::wait_ended(live->init_pidfd.get(), kDeathTimeout);
    return {ExitStatus::Kind::signalled, SIGKILL, "its monitor was killed"};
}

void Impl::finish(const LivePtr& live) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, live->connection.get(), nullptr);
    end_boot(live);
    const ExitStatus status = exit_of(live);
    cgroups_.wait_empty(live->name, kDeathTimeout);
    if (auto removed = cgroups_.remove(live->name); !removed) {
        log::warn("cgroups not removed", {{"container", live->name}, {"error", removed.error().message}});
    }
    {
        const std::lock_guard lock(mutex_);
        live->ended = true;
    }
    if (listener_.on_exit) listener_.on_exit(live->name, status);
    const std::lock_guard lock(mutex_);
    live_.erase(live->name);
    changed_.notify_all();
}

}  // namespace lxmgr::runtime
