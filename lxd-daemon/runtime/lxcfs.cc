#include "lxd-daemon/runtime/lxcfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/sys/mount.h"
#include "lxd-daemon/sys/pidfd.h"

namespace lxmgr::runtime {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLxcfsStartTimeout{5000};
constexpr milliseconds kTakeOverTimeout{1000};
constexpr milliseconds kEndTimeout{3000};
/// One that ends sooner than this has failed to start.
constexpr std::chrono::seconds kShortLife{5};
constexpr std::chrono::seconds kRetryAfter{60};

/// /sys/devices/system/cpu as a whole would be served by FUSE too, and udev walks it at boot: what
/// programs count CPUs by is enough.
constexpr const char* kTargets[] = {
    "/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg",
    "/proc/meminfo", "/proc/slabinfo",  "/proc/stat",
    "/proc/swaps",   "/proc/uptime",    "/sys/devices/system/cpu/online",
};

/// Asks no FUSE server anything: a dead or hanging one must not stop us.
bool is_mounted(const std::string& path) {
    struct statx info{};
    constexpr int kFlags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW;
    if (::statx(AT_FDCWD, path.c_str(), kFlags, 0, &info) != 0) return false;
    return (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/// Who holds the lock on it, fcntl(2); 0: nobody.
pid_t holder_of(const std::string& path) {
    const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    struct flock query{};
    query.l_type = F_WRLCK;
    query.l_whence = SEEK_SET;
    if (!file || ::fcntl(file.get(), F_GETLK, &query) != 0 || query.l_type == F_UNLCK) return 0;
    return query.l_pid;
}

}  // namespace

Lxcfs::Lxcfs(std::string directory, Hooks hooks)
    : directory_(std::move(directory)), hooks_(std::move(hooks)) {}

Lxcfs::~Lxcfs() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    ::eventfd_write(stop_event_.get(), 1);
    thread_.join();
}

void Lxcfs::want(std::unique_lock<std::mutex>& lock) {
    if (state_ == State::ready || state_ == State::starting) return;
    if (state_ == State::failed && problem_.status != Status::not_found &&
        std::chrono::steady_clock::now() < failed_at_ + kRetryAfter)
        return;
    if (!thread_.joinable()) {
        stop_event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
    }
    wanted_ = true;
    state_ = State::starting;
    lock.unlock();
    wake_.notify_all();
    lock.lock();
}

void Lxcfs::expect() {
    std::unique_lock lock(mutex_);
    want(lock);
}

void Lxcfs::recover() {
    std::unique_lock lock(mutex_);
    recovering_ = true;
    want(lock);
}

Result<std::vector<LxcfsFile>> Lxcfs::clone_files() {
    std::unique_lock lock(mutex_);
    want(lock);
    if (!wake_.wait_for(lock, kLxcfsStartTimeout, [this] { return state_ != State::starting; }))
        return fail(Status::unavailable, "lxcfs does not start in time");
    if (state_ != State::ready) return std::unexpected(problem_);
    std::vector<LxcfsFile> out;
    for (const File& file : files_) {
        LX_TRY_AS(UniqueFd mount, sys::clone_mount(file.fd.get(), ""));
        out.push_back({std::move(mount), file.target});
    }
    return out;
}

void Lxcfs::end() {
    if (thread_.joinable()) {
        thread_.request_stop();
        ::eventfd_write(stop_event_.get(), 1);
        thread_.join();
    }
    const std::lock_guard lock(mutex_);
    files_.clear();
    state_ = State::idle;
    if (auto process = find()) finish(*process);
}

/// The holder of the pid file's lock. Still so after the pidfd was opened: so that is of this very process.
std::optional<Lxcfs::Process> Lxcfs::find() const {
    const pid_t pid = holder_of(pid_file());
    if (pid <= 0) return std::nullopt;
    auto pidfd = sys::open_pidfd(pid);
    if (!pidfd || holder_of(pid_file()) != pid) return std::nullopt;
    Process process;
    process.pid = pid;
    process.pidfd = *std::move(pidfd);
    // A child of ours, started in this life of the daemon, leaves a zombie that we must reap.
    siginfo_t info{};
    process.is_child =
        ::waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
    return process;
}

Result<Lxcfs::Process> Lxcfs::start() {
    unmount();  // what a dead one left hides the directory
    LX_TRY(make_directory(mount_point(), 0700));
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const std::string log_path = directory_ + "/log";
    const UniqueFd log(::open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!null || !log) return fail_errno("Opening", log_path);
    Command command;
    command.argv = {"lxcfs", "--foreground", "--enable-loadavg", "--pidfile=" + pid_file(), mount_point()};
    // Its ten threads share one heap, which gives back what a read took: half the memory; mallopt(3).
    command.extra_env = {"MALLOC_ARENA_MAX=1", "MALLOC_TOP_PAD_=16384", "MALLOC_TRIM_THRESHOLD_=32768"};
    LX_TRY_AS(Child child, spawn(command, {{null.get(), 0}, {log.get(), 1}, {log.get(), 2}}));
    return Process{child.pid, std::move(child.pidfd), true};
}

/// The mount shows in the mount table, whose changes poll(2) reports; from then on requests to it wait until
/// they are served.
bool Lxcfs::await_mount(const Process& process, milliseconds timeout) const {
    const UniqueFd table(::open("/proc/thread-self/mountinfo", O_RDONLY | O_CLOEXEC));
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (!is_mounted(mount_point())) {
        const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd polled[] = {
            {table.get(), POLLPRI, 0}, {process.pidfd.get(), POLLIN, 0}, {stop_event_.get(), POLLIN, 0}};
        if (left.count() <= 0 || ::poll(polled, 3, static_cast<int>(left.count())) == 0) return false;
        if (polled[1].revents != 0 || polled[2].revents != 0) return is_mounted(mount_point());
    }
    return true;
}

void Lxcfs::unmount() const {
    while (::umount2(mount_point().c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
}

void Lxcfs::finish(Process& process) const {
    // At SIGTERM its thread for load averages sleeps on for up to 5 s; it has nothing to save.
    static_cast<void>(sys::send_signal(process.pidfd.get(), SIGKILL).has_value());
    static_cast<void>(sys::wait_ended(process.pidfd.get(), kEndTimeout));
    if (process.is_child) ::waitpid(process.pid, nullptr, WNOHANG);
    unmount();
}

Result<Lxcfs::Process> Lxcfs::take_over_or_start(bool& fresh) {
    LX_TRY(make_directory(directory_, 0700));
    // A second try: one that an earlier daemon had just started may take the lock only now.
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (auto found = find()) {
            fresh = false;
            if (await_mount(*found, kTakeOverTimeout)) return *std::move(found);
            finish(*found);
        }
        fresh = true;
        LX_TRY_AS(Process process, start());
        if (await_mount(process, kLxcfsStartTimeout)) {
            hooks_.keep(process.pid);
            return process;
        }
        finish(process);
    }
    return fail(Status::unavailable, fmt::format("lxcfs does not start: see {}/log", directory_));
}

Result<std::vector<Lxcfs::File>> Lxcfs::open_files() const {
    const UniqueFd root(::open(mount_point().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) return fail_errno("Opening", mount_point());
    std::vector<File> out;
    for (const char* target : kTargets) {
        // Neither every kernel nor every lxcfs has all.
        if (::access(target, F_OK) != 0) continue;
        UniqueFd fd(::openat(root.get(), target + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (fd) out.push_back({std::move(fd), target});
    }
    if (out.empty()) return fail(Status::unavailable, "lxcfs serves no files");
    return out;
}

void Lxcfs::publish(Result<std::vector<File>> files) {
    std::optional<Error> problem;
    if (!files) problem = files.error();
    {
        const std::lock_guard lock(mutex_);
        files_.clear();
        if (files) {
            files_ = *std::move(files);
            state_ = State::ready;
        } else {
            problem_ = *problem;
            failed_at_ = std::chrono::steady_clock::now();
            state_ = State::failed;
        }
    }
    wake_.notify_all();
    hooks_.changed(problem);
}

/// @return false: the thread is to end
bool Lxcfs::await_wish(const std::stop_token& stop, bool needed) {
    std::unique_lock lock(mutex_);
    const auto wished = [this] { return wanted_; };
    // Containers that run cannot read what the dead one served: again without being asked.
    if (needed) {
        wake_.wait_for(lock, stop, kRetryAfter, wished);
    } else {
        wake_.wait(lock, stop, wished);
    }
    if (stop.stop_requested()) return false;
    wanted_ = false;
    state_ = State::starting;
    return true;
}

void Lxcfs::serve(const std::stop_token& stop) {
    bool renewed = false;
    while (await_wish(stop, renewed)) {
        bool fresh = false;
        auto process = take_over_or_start(fresh);
        if (stop.stop_requested()) return;
        if (!process) {
            publish(std::unexpected(std::move(process).error()));
            continue;
        }
        publish(open_files());
        {
            const std::lock_guard lock(mutex_);
            renewed = fresh && (renewed || recovering_);
            recovering_ = false;
        }
        if (renewed) hooks_.renewed();
        renewed = false;
        const auto began = std::chrono::steady_clock::now();
        pollfd polled[] = {{process->pidfd.get(), POLLIN, 0}, {stop_event_.get(), POLLIN, 0}};
        while (::poll(polled, 2, -1) < 0) {
        }
        if (polled[1].revents != 0) return;
        if (process->is_child) ::waitpid(process->pid, nullptr, WNOHANG);
        renewed = true;
        if (std::chrono::steady_clock::now() - began < kShortLife) {
            publish(fail(Status::unavailable,
                         fmt::format("lxcfs ended soon after its start: see {}/log", directory_)));
            continue;
        }
        const std::lock_guard lock(mutex_);
        files_.clear();
        state_ = State::starting;
        wanted_ = true;
    }
}

}  // namespace lxmgr::runtime
