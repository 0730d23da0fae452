#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/runtime/impl.h"
#include "lxd-daemon/sys/pidfd.h"

namespace lxmgr::runtime {
namespace {

constexpr std::chrono::milliseconds kLeftoverDeathTimeout{10'000};

/// The map of a running container, user_namespaces(7); empty when it is gone.
std::vector<sys::IdRange> read_map(pid_t pid, const char* file) {
    std::vector<sys::IdRange> ranges;
    const auto text = read_file(fmt::format("/proc/{}/{}", pid, file), 65536);
    for (const std::string& line : split(text.value_or(""), '\n')) {
        std::vector<std::uint32_t> numbers;
        for (const std::string& word : split(line, ' ')) {
            if (const auto number = parse_uint(word)) numbers.push_back(static_cast<std::uint32_t>(*number));
        }
        if (numbers.size() == 3) ranges.push_back({numbers[0], numbers[1], numbers[2]});
    }
    return ranges;
}

}  // namespace

Result<std::optional<Running>> Impl::recover(const std::string& name, const std::string& run_dir) {
    LX_TRY(reserve(name));
    const auto none = [&](Result<> done) -> Result<std::optional<Running>> {
        release(name);
        if (!done) return std::unexpected(std::move(done).error());
        return std::optional<Running>();
    };
    UniqueFd run_dir_fd(::open(run_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!run_dir_fd)
        return none(errno == ENOENT ? end_strays(name) : Result<>(fail_errno("Opening", run_dir)));
    auto connection = connect_monitor(run_dir_fd.get());
    if (!connection && connection.error().status != Status::not_found) {
        return none(std::unexpected(std::move(connection).error()));
    }
    if (connection) {
        auto live = reconnect(name, run_dir, std::move(run_dir_fd), std::move(*connection));
        if (live) {
            Running running = adopt(*live);
            running.frozen = cgroups_.is_frozen(name);
            return std::optional(running);
        }
        // It ended while we asked: what it left behind says how.
    }
    return none(bury(name, run_dir));
}

Result<LivePtr> Impl::reconnect(const std::string& name, const std::string& run_dir, UniqueFd run_dir_fd,
                                UniqueFd connection) {
    LX_TRY(send_to_monitor(connection.get(), wire::Type::watch));
    LX_TRY_AS(Received state, receive_from_monitor(connection.get(), kMonitorTimeout));
    if (state.type != wire::Type::state || state.fds.size() != 1)
        return fail(Status::internal, "The monitor's answer is odd");
    auto live = std::make_shared<Live>();
    live->name = name;
    live->run_dir = run_dir;
    live->run_dir_fd = std::move(run_dir_fd);
    live->connection = std::move(connection);
    live->init_pid = static_cast<pid_t>(state.number(0));
    live->init_pidfd = state.take_fd(0);
    live->ready = state.number(1) != 0;
    live->started_at_ns = state.wide(2);
    live->ready_at_ns = state.wide(4);
    live->idmap = {read_map(live->init_pid, "uid_map"), read_map(live->init_pid, "gid_map")};
    return live;
}

/// Nobody serves the container: it ended, or its monitor was killed, while no daemon was there.
Result<> Impl::bury(const std::string& name, const std::string& run_dir) {
    auto status = read_exit(run_dir);
    const bool strays = !cgroups_.wait_empty(name, std::chrono::milliseconds(0));
    LX_TRY(end_strays(name));
    if (!status && strays && path_exists(fmt::format("{}/{}", run_dir, wire::kSocketName))) {
        status = ExitStatus{ExitStatus::Kind::signalled, SIGKILL, "its monitor was killed"};
    }
    if (status && listener_.on_exit)
        listener_.on_exit(name, *status);
    else
        forget_exit(run_dir);
    return {};
}

/// Processes without a monitor: of an interrupted start, or after the monitor's violent end.
Result<> Impl::end_strays(const std::string& name) {
    if (!cgroups_.wait_empty(name, std::chrono::milliseconds(0))) {
        LX_TRY(cgroups_.kill(name));
        if (!cgroups_.wait_empty(name, kLeftoverDeathTimeout))
            return fail(Status::internal, fmt::format("Processes of '{}' do not end", name));
    }
    const auto deadline = std::chrono::steady_clock::now() + kLeftoverDeathTimeout;
    for (;;) {
        auto removed = cgroups_.remove(name);
        const bool busy = !removed && removed.error().sys_errno == EBUSY;
        if (!busy || std::chrono::steady_clock::now() >= deadline) return removed;
        LX_TRY(end_latecomers(name, deadline));
    }
}

/// Processes that an interrupted start had on their way into the group as it was emptied.
Result<> Impl::end_latecomers(const std::string& name, std::chrono::steady_clock::time_point deadline) {
    LX_TRY_AS(const std::vector<pid_t> pids, cgroups_.processes_anywhere(name));
    for (const pid_t pid : pids) {
        const auto pidfd = sys::open_pidfd(pid);
        if (!pidfd) continue;
        LX_TRY_AS(const std::vector<pid_t> still, cgroups_.processes_anywhere(name));
        if (!std::ranges::binary_search(still, pid)) continue;  // the number may be another's by now
        if (!sys::send_signal(pidfd->get(), SIGKILL)) continue;
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0 || !sys::wait_ended(pidfd->get(), left))
            return fail(Status::internal, fmt::format("Process {} of '{}' does not end", pid, name));
    }
    return {};
}

std::vector<std::string> Impl::leftovers() {
    std::vector<std::string> names = cgroups_.names();
    const std::lock_guard lock(mutex_);
    std::erase_if(
        names, [this](const std::string& name) { return live_.contains(name) || reserved_.contains(name); });
    return names;
}

}  // namespace lxmgr::runtime
