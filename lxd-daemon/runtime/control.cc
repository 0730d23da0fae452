#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/runtime/impl.h"
#include "lxd-daemon/runtime/limits.h"
#include "lxd-daemon/runtime/oom_score.h"
#include "lxd-daemon/runtime/run_notes.h"
#include "lxd-daemon/sys/pidfd.h"

namespace lxmgr::runtime {
namespace {

constexpr std::chrono::milliseconds kFreezeTimeout{10'000};

/// A signal set of /proc/PID/status ("SigBlk", "SigCgt"): bit n-1 is signal n. 0 when the process is gone.
std::uint64_t signal_set(const std::string& status, std::string_view key) {
    for (const std::string& line : split(status, '\n')) {
        if (!line.starts_with(key)) continue;
        return std::strtoull(line.c_str() + key.size() + 1, nullptr, 16);
    }
    return 0;
}

bool holds_signal(std::uint64_t set, int number) { return ((set >> (number - 1)) & 1U) != 0; }

std::unexpected<Error> not_running(const std::string& name) {
    return fail(Status::not_found, fmt::format("The container '{}' is not running", name));
}

}  // namespace

Result<LivePtr> Impl::find(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(name);
    if (found == live_.end()) return not_running(name);
    return found->second;
}

Result<> Impl::reserve(const std::string& name) {
    std::unique_lock lock(mutex_);
    // Whoever heard of the exit may start it again; what finish() has left to do is a matter of microseconds.
    changed_.wait_for(lock, kFinishTimeout, [&] {
        const auto found = live_.find(name);
        return found == live_.end() || !found->second->ended;
    });
    if (live_.contains(name))
        return fail(Status::conflict, fmt::format("The container '{}' is running", name));
    if (!reserved_.insert(name).second)
        return fail(Status::conflict, fmt::format("The container '{}' is being started", name));
    return {};
}

void Impl::release(const std::string& name) {
    const std::lock_guard lock(mutex_);
    reserved_.erase(name);
    changed_.notify_all();
}

/// As LXC: an init that blocks SIGRTMIN+3 reads it by signalfd, which is systemd's way and means "halt" to
/// it; others get the sign of a failing power supply. `understood` is false when init has no use for either
/// yet.
Result<> Impl::send_halt(const Live& live, bool& understood) {
    const auto status = read_file(fmt::format("/proc/{}/status", live.init_pid));
    const std::uint64_t blocked = signal_set(status.value_or(""), "SigBlk:");
    const std::uint64_t caught = signal_set(status.value_or(""), "SigCgt:");
    const bool systemd = holds_signal(blocked, SIGRTMIN + 3);
    understood = systemd || holds_signal(blocked | caught, SIGPWR);
    return sys::send_signal(live.init_pidfd.get(), systemd ? SIGRTMIN + 3 : SIGPWR);
}

Result<> Impl::signal_halt(const std::string& name) {
    LX_TRY_AS(const LivePtr live, find(name));
    bool understood = false;
    LX_TRY(send_halt(*live, understood));
    // Too early: the kernel dropped it, as init has no handler yet. systemd will say when it is there.
    if (!understood) {
        const std::lock_guard lock(mutex_);
        live->halt_when_ready = !live->ready;
    }
    return {};
}

Result<> Impl::kill(const std::string& name) {
    LX_TRY_AS(const LivePtr live, find(name));
    // All at once: init alone would take the others with it too, but only after it has closed its own files
    // and left its namespaces, each of which waits for grace periods. Without cgroup.kill (before 5.14) it
    // must do.
    if (cgroups_.kill(name)) return {};
    return sys::send_signal(live->init_pidfd.get(), SIGKILL);
}

bool Impl::wait_stopped(const std::string& name, std::optional<std::chrono::milliseconds> timeout) {
    std::unique_lock lock(mutex_);
    const auto stopped = [&] { return !live_.contains(name); };
    if (timeout) return changed_.wait_for(lock, *timeout, stopped);
    changed_.wait(lock, stopped);
    return true;
}

Result<> Impl::freeze(const std::string& name) {
    LX_TRY(find(name));
    return cgroups_.freeze(name, true, kFreezeTimeout);
}

Result<> Impl::unfreeze(const std::string& name) {
    LX_TRY(find(name));
    return cgroups_.freeze(name, false, kFreezeTimeout);
}

/// After it joined one: a seat that must be started again has to join the same.
Result<> Impl::tell_groups(const Live& live, const std::string& name) {
    LX_TRY_AS(const auto procs, cgroups_.v1_procs(name));
    std::vector<int> fds;
    for (const UniqueFd& fd : procs) fds.push_back(fd.get());
    char buffer[sizeof(wire::Header)];
    LX_TRY(ask_monitor(live, wire::Writer(buffer, sizeof buffer, wire::Type::cgroups), fds));
    return {};
}

Result<> Impl::set_limits(const std::string& name, const Limits& old_limits, const Limits& new_limits) {
    LX_TRY_AS(const LivePtr live, find(name));
    LX_TRY(change_score(*live, old_limits.oom_score, new_limits.oom_score));
    auto set = change_limits(cgroups_, name, old_limits, new_limits);
    Result<> done;
    if (!set) {
        done = std::unexpected(std::move(set).error());
    } else if (*set) {
        done = tell_groups(*live, name);
        if (!done) (void)change_limits(cgroups_, name, new_limits, old_limits).has_value();
    }
    if (!done) (void)change_score(*live, new_limits.oom_score, old_limits.oom_score).has_value();
    return done;
}

/// A process keeps what it chose itself, so after a crash only the note tells which scores are ours.
Result<> Impl::change_score(const Live& live, int before, int after) {
    if (before == after) return {};
    LX_TRY(note_oom_scores(live.run_dir_fd.get(), {before, after}));
    auto changed = change_oom_score(cgroups_, live.name, before, after);
    failpoint("runtime.oom_score.changed");
    auto noted = note_oom_scores(live.run_dir_fd.get(), {changed ? after : before});
    return changed ? noted : changed;
}

Result<> Impl::reset_limits(const std::string& name, const Limits& limits) {
    LX_TRY_AS(const LivePtr live, find(name));
    Result<> scored;
    for (const int score : noted_oom_scores(live->run_dir_fd.get()))
        if (auto changed = change_score(*live, score, limits.oom_score); !changed) scored = changed;
    LX_TRY(runtime::reset_limits(cgroups_, name, limits));
    return scored;
}

Result<Usage> Impl::usage(const std::string& name) {
    LX_TRY(find(name));
    return read_usage(cgroups_, name);
}

Result<Counts> Impl::counts(const std::string& name) {
    LX_TRY(find(name));
    return read_counts(cgroups_, name);
}

Result<UniqueFd> Impl::open_of_init(const std::string& name, const char* entry, int flags) {
    LX_TRY_AS(const LivePtr live, find(name));
    UniqueFd fd(::open(fmt::format("/proc/{}/{}", live->init_pid, entry).c_str(), flags | O_CLOEXEC));
    const int error = errno;
    // Alive after the open: so the number was still that of our init when /proc resolved it.
    if (sys::has_ended(live->init_pidfd.get())) return not_running(name);
    if (fd) return fd;
    // An init that waits for the last of its processes has no namespaces any more, and has not ended yet.
    if (error == ENOENT) return not_running(name);
    errno = error;
    return fail_errno("Opening", fmt::format("{} of '{}'", entry, name));
}

Result<UniqueFd> Impl::open_root(const std::string& name) {
    return open_of_init(name, "root", O_PATH | O_DIRECTORY);
}

Result<UniqueFd> Impl::open_netns(const std::string& name) { return open_of_init(name, "ns/net", O_RDONLY); }

Result<> Impl::keep(pid_t pid) {
    LX_TRY_AS(const auto places, cgroups_.keeper_procs());
    const std::string number = std::to_string(pid);
    for (const UniqueFd& place : places) {
        if (::write(place.get(), number.data(), number.size()) < 0)
            return fail_errno("Moving a process", "to the monitors' cgroup");
    }
    return {};
}

}  // namespace lxmgr::runtime
