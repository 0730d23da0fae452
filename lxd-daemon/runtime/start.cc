#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/monitor/message_io.h"
#include "lxd-daemon/runtime/dev.h"
#include "lxd-daemon/runtime/impl.h"
#include "lxd-daemon/runtime/limits.h"
#include "lxd-daemon/runtime/oom_score.h"
#include "lxd-daemon/runtime/run_notes.h"
#include "lxd-daemon/runtime/seccomp.h"
#include "lxd-daemon/runtime/start_spec.h"
#include "lxd-daemon/sys/device_filter.h"
#include "lxd-daemon/sys/pidfd.h"

namespace lxmgr::runtime {
namespace {

/// A start waits for other containers' cgroup moves and for memory; this long means that something hangs.
constexpr std::chrono::milliseconds kMonitorStartTimeout{60'000};
/// With a lower limit, the spare monitor is not to be among a container's processes, be it for a moment.
constexpr std::uint64_t kProcessesWithMonitor = 16;

Result<> check(const StartRequest& request) {
    // Its project may stand before it.
    const std::string_view own = std::string_view(request.name).substr(request.name.find('_') + 1);
    if (request.name.contains('/') || !is_dns_label(own))
        return fail(Status::internal, fmt::format("'{}' cannot name a container", request.name));
    if (request.root_fd < 0 || request.init.empty())
        return fail(Status::internal, "A container needs a root and an init");
    if (request.idmap.uids.empty() || request.idmap.gids.empty())
        return fail(Status::internal, "A container needs an id map");
    if (request.attach.size() > 210) return fail(Status::bad_request, "More than 200 mounts to attach");
    return {};
}

std::vector<int> numbers_of(const std::vector<UniqueFd>& fds) {
    std::vector<int> numbers;
    for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
    return numbers;
}

/// Of what is attached, by the path inside.
GivenNodes nodes_given(const StartRequest& request) {
    GivenNodes given;
    for (const Attach& attach : request.attach) {
        struct stat info{};
        if (const auto device = ::fstat(attach.mount_fd, &info) == 0 ? device_number(info) : std::nullopt)
            given[attach.target] = *device;
    }
    return given;
}

/// A privileged container may open the standard nodes and those that it is given.
Result<> limit_privileged(int cgroup, const StartRequest& request) {
    std::vector<sys::DeviceNumber> always = standard_devices();
    for (const std::string& path : request.extra_device_nodes) {
        struct stat info{};
        if (const auto device = ::stat(path.c_str(), &info) == 0 ? device_number(info) : std::nullopt)
            always.push_back(*device);
    }
    for (const DeviceRule& rule : request.extras.devices)
        always.push_back({rule.block, rule.major, rule.minor});
    std::vector<sys::DeviceNumber> given;
    for (const auto& [path, device] : nodes_given(request)) given.push_back(device);
    return sys::limit_devices(cgroup, always, given);
}

Result<> write_values(sys::Cgroups& cgroups, const std::string& name,
                      const std::vector<CgroupValue>& values) {
    for (const CgroupValue& value : values) {
        const bool v1 = !value.controller.empty();
        if (v1 && cgroups.home(value.controller) != sys::Cgroups::Home::v1)
            return fail(Status::bad_request, fmt::format("{}: this host has no cgroup v1 hierarchy of '{}'",
                                                         value.key, value.controller));
        if (v1) LX_TRY(cgroups.create_v1(name, value.controller));
        auto written = cgroups.write(name, value.controller, value.file, value.value);
        if (!written) return std::unexpected(in(value.key, std::move(written).error()));
    }
    return {};
}

}  // namespace

/// What a start has made so far. Undone from the last to the first: the monitor's end takes the processes
/// with it, so the cgroups are empty when their turn comes.
struct Impl::Starting {
    UniqueFd cgroup, dev, console_log;
    std::optional<IdleMonitor> placed;  ///< a monitor in the container's v1 groups, until it is `live`'s
    bool is_placed = false;             ///< it is that one
    std::vector<UniqueFd> cgroup_procs, keeper_procs;
    LivePtr live = std::make_shared<Live>();
    Revert undo;

    /// Whether the monitor from the reserve was killed before it made anything: another one can begin anew.
    [[nodiscard]] bool lost_spare() const {
        return is_placed && live->init_pid <= 0 &&
               sys::wait_ended(live->monitor.pidfd.get(), std::chrono::seconds(1));
    }
};

Result<Running> Impl::start(const StartRequest& request) {
    LX_TRY(check(request));
    LX_TRY(reserve(request.name));
    bool again = false;
    const auto attempt = [&]() -> Result<LivePtr> {
        Starting starting;
        auto made = make_cgroups(request, starting);
        if (made) made = launch_monitor(request, starting);
        if (!made) return std::unexpected(std::move(made).error());
        auto booted = boot(request, starting);
        again = !booted && booted.error().status == Status::unavailable && starting.lost_spare();
        return booted;
    };
    Result<LivePtr> live = attempt();
    if (again) live = attempt();
    if (!live) {
        release(request.name);
        return std::unexpected(std::move(live).error());
    }
    (*live)->booting = true;
    warmer_.boot_began();
    if (!spare_.is_ready()) warmer_.poke();
    return adopt(*live);
}

void Impl::expect_start() {
    if (cgroups_.start_moves() && !spare_.is_ready()) warmer_.poke();
}

void Impl::cancel_start(const std::string& name) {
    if (auto placed = take_placed(name)) end_monitor(*placed);
    if (auto removed = cgroups_.remove(name); !removed)
        log::warn("cgroups not removed", {{"container", name}, {"error", removed.error().message}});
}

bool Impl::is_placed(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return placed_.contains(name);
}

std::optional<IdleMonitor> Impl::take_placed(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto node = placed_.extract(name);
    if (node.empty()) return std::nullopt;
    return std::move(node.mapped());
}

Result<UniqueFd> Impl::place(const StartRequest& request) {
    const auto processes = request.limits.processes.value_or(kProcessesWithMonitor);
    const bool suits = !request.idmap.is_host() && processes >= kProcessesWithMonitor &&
                       request.extras.cgroup_values.empty() && stays_everywhere(cgroups_, request.limits);
    LX_TRY_AS(UniqueFd cgroup,
              cgroups_.create(request.name, request.idmap.host_uid(0), request.idmap.host_gid(0)));
    if (suits && !is_placed(request.name)) {
        if (auto spare = spare_.take(request.name)) {
            const std::lock_guard lock(mutex_);
            placed_[request.name] = std::move(*spare);
        }
    }
    LX_TRY(prepare_limits(cgroups_, request.name, request.limits));
    return cgroup;
}

Result<> Impl::prepare_start(const StartRequest& request) {
    // When the kernel lets nobody through, start() makes them: the wait is over by then.
    const bool now = !warmer_.busy();
    if (now) {
        if (auto made = place(request); !made) {
            cancel_start(request.name);
            return std::unexpected(std::move(made).error());
        }
    }
    failpoint("runtime.start.prepared");
    if (now && cgroups_.start_moves() && !is_placed(request.name)) warmer_.poke();
    return {};
}

Result<> Impl::make_cgroups(const StartRequest& request, Starting& starting) {
    starting.undo.add([this, name = request.name] { cancel_start(name); });
    LX_TRY_AS(starting.cgroup, place(request));
    if (request.idmap.is_host()) {
        // Its root may mount every hierarchy; in a group of its own it finds no release_agent there.
        LX_TRY(cgroups_.create_v1_everywhere(request.name));
        if (!request.extras.any_device) LX_TRY(limit_privileged(starting.cgroup.get(), request));
    }
    starting.placed = take_placed(request.name);
    const auto end_placed = [&starting] {
        if (starting.placed) end_monitor(*starting.placed);
        starting.placed.reset();
    };
    starting.undo.add(end_placed);
    // What limits the container so closely must not meet a monitor in it.
    if (!request.extras.cgroup_values.empty()) end_placed();
    LX_TRY(write_values(cgroups_, request.name, request.extras.cgroup_values));
    LX_TRY_AS(starting.cgroup_procs, cgroups_.v1_procs(request.name));
    LX_TRY_AS(starting.keeper_procs, cgroups_.keeper_procs());
    failpoint("runtime.start.cgroups");
    return {};
}

Result<> Impl::launch_monitor(const StartRequest& request, Starting& starting) {
    Live& live = *starting.live;
    live.name = request.name;
    live.run_dir = request.run_dir;
    live.idmap = request.idmap;
    LX_TRY(make_directory(request.run_dir, 0700));
    live.run_dir_fd.reset(::open(request.run_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!live.run_dir_fd) return fail_errno("Opening", request.run_dir);
    remove_run_files(live.run_dir_fd.get());
    if (request.idmap.is_host() && !request.extras.any_device)
        LX_TRY(note_nodes_given(live.run_dir_fd.get(), nodes_given(request)));
    constexpr int kFlags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
    starting.console_log.reset(::open(request.console_log.c_str(), kFlags, 0600));
    if (!starting.console_log) return fail_errno("Opening", request.console_log);
    LX_TRY_AS(starting.dev, make_dev(request.idmap, request.extra_device_nodes));

    IdleMonitor monitor;
    if (starting.placed) {
        monitor = std::move(*starting.placed);
        starting.placed.reset();
        starting.is_placed = true;
    } else {
        LX_TRY_AS(monitor, runtime::launch_monitor(program_, request.name));
    }
    live.monitor = std::move(monitor.process);
    live.connection = std::move(monitor.connection);
    // Before `go` its end undoes everything that it did.
    starting.undo.add([live = starting.live] {
        IdleMonitor ending{std::move(live->monitor), std::move(live->connection)};
        end_monitor(ending, live->init_pidfd.get());
        remove_run_files(live->run_dir_fd.get());
    });
    failpoint("runtime.start.monitor");
    return {};
}

/// The default is compiled once.
Result<std::string> Impl::seccomp_for(const StartRequest& request) {
    const bool privileged = request.idmap.is_host();
    if (!privileged && request.syscalls == SyscallPolicy{}) return seccomp_;
    return compile_seccomp(request.syscalls, privileged);
}

Result<LivePtr> Impl::boot(const StartRequest& request, Starting& starting) {
    Live& live = *starting.live;
    const int control = live.connection.get();
    const StartFds fds{starting.dev.get(),
                       starting.cgroup.get(),
                       starting.console_log.get(),
                       live.run_dir_fd.get(),
                       numbers_of(starting.cgroup_procs),
                       numbers_of(starting.keeper_procs),
                       starting.is_placed};
    const auto await = [&](wire::Type wanted) -> Result<Received> {
        LX_TRY_AS(Received message, receive_from_monitor(control, kMonitorStartTimeout));
        if (message.type == wire::Type::failed) return std::unexpected(failure_of(message, &request));
        if (message.type != wanted)
            return fail(Status::internal, "The container's monitor sent an unexpected message");
        return message;
    };
    Filters filters;
    LX_TRY_AS(filters.syscalls, seccomp_for(request));
    LX_TRY_AS(filters.intercepts, compile_intercepts(request.intercepts, request.idmap.is_host()));
    LX_TRY(send_start(control, request, fds, filters));
    LX_TRY_AS(Received spawned, await(wire::Type::spawned));
    live.init_pid = static_cast<pid_t>(spawned.number(0));
    live.init_pidfd = spawned.take_fd(0);
    const UniqueFd netns = spawned.take_fd(1);
    if (request.limits.oom_score != 0)
        LX_TRY(set_oom_score(live.init_pid, live.init_pidfd.get(), request.limits.oom_score));
    failpoint("runtime.start.namespaces");

    // Beside this the child mounts, and the monitor waits for the cgroups.
    if (request.setup_network) LX_TRY(request.setup_network(netns.get(), live.init_pid));
    failpoint("runtime.start.network");
    // A start that failed meanwhile has closed the socket, and what went wrong is still to be read from it.
    if (auto sent = send_to_monitor(control, wire::Type::go);
        !sent && sent.error().status != Status::unavailable) {
        return std::unexpected(std::move(sent).error());
    }
    failpoint("runtime.start.go");
    LX_TRY_AS(const Received started, await(wire::Type::started));
    failpoint("runtime.start.started");
    live.started_at_ns = started.wide(0);
    starting.undo.commit();
    return starting.live;
}

}  // namespace lxmgr::runtime
