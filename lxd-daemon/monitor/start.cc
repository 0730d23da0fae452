#include "lxd-daemon/monitor/start.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lxd-daemon/monitor/console.h"
#include "lxd-daemon/monitor/intercept.h"
#include "lxd-daemon/monitor/message_io.h"
#include "lxd-daemon/monitor/state.h"
#include "lxd-daemon/monitor/steps.h"

namespace lxmgr::monitor {
namespace {

using wire::Step;
using wire::Type;

constexpr std::size_t kMaxAttachments = 210;  ///< what users ask for, and some of the daemon's own

constexpr std::size_t kMaxKernelLimits = 16;  // there are as many resources

char seccomp[kMaxSeccompBytes];
char intercepts[kMaxInterceptBytes];
child::KernelLimit kernel_limits[kMaxKernelLimits];
child::Attachment attachments[kMaxAttachments];
const char* strings[wire::kMaxStrings + 3];

/// What only the start needs. Strings lead into message_buffer, which nothing else uses meanwhile.
struct Spec {
    const char* uid_map;
    const char* gid_map;
    std::uint32_t owner_uid;
    child::InitPlan plan;
};

/// Tells the daemon, kills what there is of the container, and ends.
[[noreturn]] void give_up(Step step, int error, std::uint32_t detail = 0) {
    if (state.init_pid > 0) {
        ::syscall(SYS_pidfd_send_signal, state.init_pidfd, SIGKILL, nullptr, 0);
        ::waitpid(state.init_pid, nullptr, __WALL);
    }
    if (state.listener >= 0) ::unlinkat(state.run_dir, wire::kSocketName, 0);
    const std::uint32_t values[] = {static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(error),
                                    detail};
    wire::send_numbers(state.control, Type::failed, values, 3);
    ::_exit(1);
}

void require(bool good, Step step) {
    if (!good) give_up(step, errno);
}

void take_descriptors(wire::ReceivedFds& fds, Spec& spec, std::size_t attachment_count) {
    std::size_t next = 0;
    spec.plan.root_fd = fds.take(next++);
    spec.plan.dev_fd = fds.take(next++);
    state.cgroup = fds.take(next++);
    set_console_ring(fds.take(next++));
    state.run_dir = fds.take(next++);
    for (std::size_t i = 0; i < state.cgroup_count; ++i) state.cgroup_procs[i] = fds.take(next++);
    for (std::size_t i = 0; i < state.own_cgroup_count; ++i) state.own_cgroup_procs[i] = fds.take(next++);
    for (std::size_t i = 0; i < attachment_count; ++i) attachments[i].mount_fd = fds.take(next++);
    errno = EBADMSG;
    require(next == fds.count(), Step::read_spec);
}

/// Raises what is to be higher than ours is: init and the seat inherit it, and lower it to what is wanted
/// where they no longer have the right to raise anything.
void raise_hard_limit(const child::KernelLimit& limit, std::uint32_t index) {
    rlimit ours{};
    ::getrlimit(static_cast<__rlimit_resource>(limit.resource), &ours);
    if (limit.value.rlim_max <= ours.rlim_max) return;
    ours.rlim_max = limit.value.rlim_max;
    if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &ours) != 0)
        give_up(Step::set_kernel_limit, errno, index);
}

void read_settings(wire::Reader& reader, Spec& spec) {
    const std::uint32_t flags = reader.u32();
    state.confinement.privileged = (flags & wire::kPrivileged) != 0;
    state.confinement.seccomp_late = (flags & wire::kSeccompLate) != 0;
    spec.plan.nesting = (flags & wire::kNesting) != 0;
    state.placed = (flags & wire::kPlaced) != 0;
    state.confinement.dropped_capabilities = reader.u64();
    const char* const profile = reader.text();
    const std::size_t length = std::strlen(profile);
    errno = EBADMSG;
    require(length < sizeof state.confinement.apparmor_profile, Step::read_spec);
    std::memcpy(state.confinement.apparmor_profile, profile, length + 1);
    const std::uint32_t count = reader.u32();
    errno = EBADMSG;
    require(count <= kMaxKernelLimits, Step::read_spec);
    for (std::uint32_t i = 0; i < count; ++i) {
        child::KernelLimit& limit = kernel_limits[i];
        limit.resource = static_cast<int>(reader.u32());
        limit.value.rlim_cur = reader.u64();
        limit.value.rlim_max = reader.u64();
        if (limit.resource == RLIMIT_NOFILE) state.confinement.open_files.rlim_max = 0;
        raise_hard_limit(limit, i);
    }
    state.confinement.limits = kernel_limits;
    state.confinement.limit_count = count;
}

/// For ps(1), in the room that the daemon left for it.
void show_name(const char* name) {
    std::size_t room = std::strlen(state.shown_name);
    for (char* at = state.shown_name; room > 0; --room) *at++ = *name == 0 ? '\0' : *name++;
}

/// The layout is written by runtime/start_spec.cc.
void read_spec(Spec& spec) {
    wire::ReceivedFds fds;
    const long size = wire::receive_message(state.control, message_buffer, sizeof message_buffer, fds);
    if (size <= 0) ::_exit(1);  // the daemon died before it said anything
    wire::Reader reader(message_buffer, static_cast<std::size_t>(size));
    spec.owner_uid = reader.u32();
    state.host_uid = reader.u32();
    state.host_gid = reader.u32();
    state.cgroup_count = reader.u32();
    state.own_cgroup_count = reader.u32();
    const std::size_t attachment_count = reader.u32();
    const bool counts = state.cgroup_count <= kMaxCgroups && state.own_cgroup_count <= kMaxCgroups;
    errno = EBADMSG;
    require(reader.type() == Type::start && counts && attachment_count <= kMaxAttachments, Step::read_spec);
    show_name(reader.text());
    spec.plan.hostname = reader.text();
    spec.uid_map = reader.text();
    spec.gid_map = reader.text();
    std::size_t seccomp_bytes = 0;
    const void* const filter = reader.bytes(seccomp_bytes);
    std::size_t intercepts_bytes = 0;
    const void* const intercept_filter = reader.bytes(intercepts_bytes);
    for (std::size_t i = 0; i < attachment_count; ++i) {
        attachments[i].is_directory = reader.u32() != 0;
        attachments[i].target = reader.text();
    }
    read_settings(reader, spec);
    const std::size_t argc = reader.list(strings, wire::kMaxStrings);
    const std::size_t variables = reader.list(strings + argc + 1, wire::kMaxStrings - argc);
    const std::size_t used = argc + variables + 2;
    const std::size_t sysctls =
        used < wire::kMaxStrings ? reader.list(strings + used, wire::kMaxStrings - used) : 1;
    const bool lists = argc > 0 && sysctls % 2 == 0;
    require(reader.complete() && lists && seccomp_bytes <= sizeof seccomp &&
                intercepts_bytes <= sizeof intercepts,
            Step::read_spec);
    std::memcpy(seccomp, filter, seccomp_bytes);
    state.confinement.seccomp = seccomp;
    state.confinement.seccomp_bytes = seccomp_bytes;
    std::memcpy(intercepts, intercept_filter, intercepts_bytes);
    state.confinement.intercepts = intercepts;
    state.confinement.intercepts_bytes = intercepts_bytes;
    spec.plan.argv = strings;
    spec.plan.environment = strings + argc + 1;
    spec.plan.sysctls = strings + used;
    spec.plan.sysctl_count = sysctls / 2;
    spec.plan.attachments = attachments;
    spec.plan.attachment_count = attachment_count;
    spec.plan.confinement = state.confinement;
    take_descriptors(fds, spec, attachment_count);
}

/// clone3 as `owner_uid`, which becomes the creator of the user namespace: the kernel charges inotify
/// instances to it, and 128 for all containers together would be too few (kernel-facts.md, inotify). @return
/// as clone3
long clone_as_owner(clone_args& args, std::uint32_t owner_uid) {
    if (owner_uid == 0) return ::syscall(SYS_clone3, &args, sizeof args);
    if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0) return -1;
    if (::syscall(SYS_setresuid, -1, owner_uid, -1) != 0) return -1;
    const long pid = ::syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) return 0;
    const int error = errno;
    const bool back = ::syscall(SYS_setresuid, -1, 0, -1) == 0 && ::prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) == 0;
    if (!back) ::_exit(1);  // cannot be, with all capabilities kept; going on as somebody else would be worse
    errno = error;
    return pid;
}

/// @return our end of the socket to the child
int clone_init(Spec& spec) {
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, Step::clone_init);
    spec.plan.socket = ends[1];
    clone_args args{};
    args.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_PIDFD;
    if (!state.confinement.privileged) args.flags |= CLONE_NEWUSER;
    // With v1 groups to enter, place_init() enters this one too: what the kernel waits for then passes beside
    // the child's mounts.
    if (state.cgroup_count == 0 || state.placed) args.flags |= CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<std::uint64_t>(state.cgroup);
    args.pidfd = reinterpret_cast<std::uint64_t>(&state.init_pidfd);
    const long pid = clone_as_owner(args, spec.owner_uid);
    if (pid == 0) child::run_init(spec.plan);
    require(pid > 0, Step::clone_init);
    state.init_pid = static_cast<pid_t>(pid);
    ::close(ends[1]);
    ::close(spec.plan.root_fd);
    ::close(spec.plan.dev_fd);
    for (std::size_t i = 0; i < spec.plan.attachment_count; ++i) ::close(attachments[i].mount_fd);
    return ends[0];
}

int open_of_init(const char* entry, int flags) {
    char path[64];
    ::snprintf(path, sizeof path, "/proc/%d/%s", static_cast<int>(state.init_pid), entry);
    return ::open(path, flags | O_CLOEXEC);
}

bool write_of_init(const char* entry, const char* text) {
    const int fd = open_of_init(entry, O_WRONLY);
    if (fd < 0) return false;
    const std::size_t size = std::strlen(text);
    const bool written = ::write(fd, text, size) == static_cast<ssize_t>(size);
    const int error = errno;
    ::close(fd);
    errno = error;
    return written;
}

void place_init() {
    if (state.placed) return;  // it was born in them
    char text[16];
    const int size = ::snprintf(text, sizeof text, "%d", static_cast<int>(state.init_pid));
    const int unified =
        state.cgroup_count > 0 ? ::openat(state.cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC) : -1;
    require(state.cgroup_count == 0 || unified >= 0, Step::place_in_cgroups);
    for (std::size_t i = 0; i <= state.cgroup_count; ++i) {
        const int procs = i < state.cgroup_count ? state.cgroup_procs[i] : unified;
        if (procs < 0) continue;
        const bool placed = ::write(procs, text, static_cast<std::size_t>(size)) == size;
        // It failed meanwhile, and has told why: see_through() reads that.
        if (!placed && errno == ESRCH) break;
        require(placed, Step::place_in_cgroups);
    }
    if (unified >= 0) ::close(unified);
}

void tell_spawned(int netns) {
    const int fds[] = {state.init_pidfd, netns};
    const auto pid = static_cast<std::uint32_t>(state.init_pid);
    wire::send_numbers(state.control, Type::spawned, &pid, 1, fds, 2);
    ::close(netns);
}

void listen_for_daemon() {
    // Through /proc, since a run directory's path may be longer than the 108 bytes of an address.
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", state.run_dir,
               wire::kSocketName);
    ::unlinkat(state.run_dir, wire::kSocketName, 0);
    ::umask(0177);
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    require(fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
            Step::listen);
    state.listener = fd;
    require(::listen(fd, 4096) == 0, Step::listen);
}

/// What has happened while the child prepares its mounts and the daemon its networks, in any order.
struct Progress {
    bool prepared = false;
    bool go = false;
    bool executing = false;
    bool executed = false;
};

void on_child_message(int socket, Progress& progress) {
    char buffer[64];
    wire::ReceivedFds fds;
    const long size = wire::receive_message(socket, buffer, sizeof buffer, fds);
    if (size <= 0) {
        // The socket is closed by execve, or by a death before it.
        if (!progress.executing) give_up(Step::init_died, 0);
        progress.executed = true;
        state.started_at_ns = now_ns();
        return;
    }
    wire::Reader reader(buffer, static_cast<std::size_t>(size));
    if (reader.type() == Type::failed) {
        const auto step = static_cast<Step>(reader.u32());
        const auto error = static_cast<int>(reader.u32());
        give_up(step, error, reader.u32());
    }
    if (reader.type() == Type::listens) return answer_calls(fds.take(0));
    set_console_master(fds.take(0));
    state.devpts = fds.take(1);
    state.notify = fds.take(2);
    progress.prepared = true;
}

void on_daemon_message(Progress& progress) {
    char buffer[64];
    wire::ReceivedFds fds;
    const long size = wire::receive_message(state.control, buffer, sizeof buffer, fds);
    const bool go = size > 0 && wire::Reader(buffer, static_cast<std::size_t>(size)).type() == Type::go;
    if (go && !progress.go) {
        progress.go = true;
        return;
    }
    // Before `go` nobody but that daemon knows of the container; after it, the next daemon will find us.
    if (!progress.go) give_up(Step::none, ECANCELED);
    ::close(state.control);
    state.control = -1;
}

void see_through(int child) {
    Progress progress;
    while (!progress.executed) {
        if (progress.go && progress.prepared && !progress.executing) {
            listen_for_daemon();
            progress.executing = true;
            wire::send_numbers(child, Type::go, nullptr, 0);
        }
        pollfd polled[] = {{child, POLLIN, 0}, {state.control, POLLIN, 0}};
        if (::poll(polled, 2, -1) < 0) continue;
        if (polled[0].revents != 0) on_child_message(child, progress);
        if (polled[1].revents != 0) on_daemon_message(progress);
    }
}

/// Its own descriptors may be many; those of the guest start as it would expect.
void set_open_files() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    state.confinement.open_files = {limit.rlim_max < 1024 ? limit.rlim_max : 1024, limit.rlim_max};
    limit.rlim_cur = limit.rlim_max < kMaxFd ? limit.rlim_max : kMaxFd;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

void start_container() {
    Spec spec{};
    set_open_files();
    read_spec(spec);
    ::prctl(PR_SET_NAME, "lxmgr-monitor", 0, 0, 0);
    const int child = clone_init(spec);
    // A daemon that is protected from the OOM killer must not hand that on.
    write_of_init("oom_score_adj", "0");
    // While it waits for its maps: a process that failed has no namespaces to open any more.
    const int netns = open_of_init("ns/net", O_RDONLY);
    require(netns >= 0, Step::clone_init);
    const bool mapped = state.confinement.privileged ||
                        (write_of_init("uid_map", spec.uid_map) && write_of_init("gid_map", spec.gid_map));
    require(mapped && wire::send_numbers(child, Type::mapped, nullptr, 0) == 0, Step::write_id_maps);
    tell_spawned(netns);
    place_init();
    see_through(child);
    ::close(child);
    send_time(state.control, Type::started, state.started_at_ns);
}

}  // namespace lxmgr::monitor
