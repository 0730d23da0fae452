#include "network/dnsmasq.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::network {
namespace {

constexpr std::chrono::seconds kStartTimeout{20};
constexpr int kTermMs = 3000;
constexpr int kKillMs = 5000;
constexpr std::size_t kCmdlineBytes = 65536;

bool has_ended(const UniqueFd& pidfd, int timeout_ms) {
    pollfd poll_fd{pidfd.get(), POLLIN, 0};
    int ready = 0;
    do {
        ready = ::poll(&poll_fd, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

void send_signal(const UniqueFd& pidfd, int signal_number) {
    // Only fails with ESRCH, when the process has just ended: what the signal was to bring about.
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal_number, nullptr, 0);
}

/// A process of the same daemon in another network namespace serves another bridge of the same name.
bool same_network_namespace(pid_t pid) {
    struct stat ours{}, theirs{};
    return ::stat("/proc/thread-self/ns/net", &ours) == 0 &&
           ::stat(fmt::format("/proc/{}/ns/net", pid).c_str(), &theirs) == 0 &&
           ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

std::vector<pid_t> all_pids() {
    std::vector<pid_t> out;
    const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
    while (const dirent* entry = proc ? ::readdir(proc.get()) : nullptr) {
        const auto pid = parse_uint(entry->d_name);
        if (pid && *pid > 0 && *pid < 1U << 30) out.push_back(static_cast<pid_t>(*pid));
    }
    return out;
}

}  // namespace

Dnsmasq::Dnsmasq(std::string bridge, std::string state_dir)
    : bridge_(std::move(bridge)), state_dir_(std::move(state_dir)) {}

/// The process when it is a live dnsmasq of ours. The pidfd is opened before the look at /proc, and found
/// alive after it, so that what was read is of this very process.
std::optional<Dnsmasq::Process> Dnsmasq::examine(pid_t pid) const {
    Process process;
    process.pid = pid;
    const auto cmdline = read_file(fmt::format("/proc/{}/cmdline", pid), kCmdlineBytes);
    const std::string ours = "--pid-file=" + pid_file();
    if (!cmdline || !cmdline->contains(ours))
        return std::nullopt;  // cheap test first: a scan asks for every process
    process.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process.pidfd) return std::nullopt;
    auto again = read_file(fmt::format("/proc/{}/cmdline", pid), kCmdlineBytes);
    if (!again || again->empty() || has_ended(process.pidfd, 0)) return std::nullopt;
    process.arguments = split(std::string_view(*again).substr(0, again->size() - 1), '\0');
    const bool is_dnsmasq = process.arguments[0] == "dnsmasq" || process.arguments[0].ends_with("/dnsmasq");
    if (!is_dnsmasq || std::ranges::find(process.arguments, ours) == process.arguments.end())
        return std::nullopt;
    return process;
}

std::optional<Dnsmasq::Process> Dnsmasq::from_pid_file() const {
    const auto text = read_file(pid_file(), 64);
    const auto pid = text ? parse_uint(trim(*text)) : std::nullopt;
    if (!pid || *pid == 0 || *pid >= 1U << 30) return std::nullopt;
    return examine(static_cast<pid_t>(*pid));
}

/// By looking at all processes: the pid file is written late in dnsmasq's start, which a crash of the daemon
/// may have cut off from us.
std::vector<Dnsmasq::Process> Dnsmasq::find_all() const {
    std::vector<Process> out;
    for (const pid_t pid : all_pids()) {
        if (auto process = examine(pid)) out.push_back(*std::move(process));
    }
    return out;
}

Result<> Dnsmasq::end(const Process& process) {
    send_signal(process.pidfd, SIGTERM);
    if (has_ended(process.pidfd, kTermMs)) return {};
    send_signal(process.pidfd, SIGKILL);
    if (has_ended(process.pidfd, kKillMs)) return {};
    return fail(Status::internal, fmt::format("dnsmasq with pid {} does not end", process.pid));
}

Result<> Dnsmasq::run(const std::vector<std::string>& arguments, bool must_restart) {
    process_.reset();
    const auto good = [&](const Process& process) {
        return !must_restart && process.arguments == arguments && same_network_namespace(process.pid);
    };
    process_ = from_pid_file();
    if (process_ && good(*process_)) return {};
    process_.reset();
    for (Process& process : find_all()) {
        if (!process_ && good(process)) {
            process_ = std::move(process);
        } else {
            LX_TRY(end(process));
        }
    }
    if (process_) return {};
    failpoint("network.dnsmasq_start");
    auto started =
        run_checked({.argv = arguments, .extra_env = {}, .input = {}, .cwd = {}, .timeout = kStartTimeout});
    if (!started && started.error().status == Status::not_found) {
        return fail(Status::unavailable,
                    "DHCP and DNS need the program dnsmasq (Debian package dnsmasq-base)");
    }
    if (!started)
        return std::unexpected(
            in(fmt::format("Starting dnsmasq for '{}'", bridge_), std::move(started).error()));
    // It forks twice before it serves; the file names the survivor.
    process_ = from_pid_file();
    if (!process_)
        return fail(Status::internal, fmt::format("Starting dnsmasq for '{}': it ended at once", bridge_));
    return {};
}

Result<> Dnsmasq::stop() {
    process_.reset();
    for (const Process& process : find_all()) LX_TRY(end(process));
    return remove_tree(pid_file());
}

bool Dnsmasq::alive() const { return process_ && !has_ended(process_->pidfd, 0); }

UniqueFd Dnsmasq::pidfd() const {
    return UniqueFd(process_ ? ::fcntl(process_->pidfd.get(), F_DUPFD_CLOEXEC, 3) : -1);
}

void Dnsmasq::kill() {
    if (!process_) return;
    send_signal(process_->pidfd, SIGKILL);
    static_cast<void>(has_ended(process_->pidfd, kKillMs));
}

void Dnsmasq::reload() {
    if (process_) send_signal(process_->pidfd, SIGHUP);
}

}  // namespace lxmgr::network
