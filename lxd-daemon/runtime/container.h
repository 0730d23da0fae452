#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/idmap.h"

/// Start, stop, exec and supervision of one container: the running thing behind an instance. Knows no LXD
/// terms, no database. Blocking, thread-safe for different containers; the caller serialises calls that
/// change one container.
namespace lxmgr::runtime {

/// Limits in kernel terms; what is unset is unlimited (the parent's).
/// Of one block device, each second; nothing: as fast as it goes.
struct DiskRates {
    std::optional<std::uint64_t> read_bytes, read_operations, write_bytes, write_operations;
    bool operator==(const DiskRates&) const = default;
};

struct Limits {
    std::optional<std::uint64_t> memory_bytes;
    bool memory_soft = false;                 ///< limits.memory.enforce=soft
    std::optional<std::uint64_t> swap_bytes;  ///< how much may be swapped out; 0: nothing
    std::optional<std::uint64_t> swappiness;  ///< cgroup v1's memory.swappiness; cgroup2 has none
    std::optional<std::uint64_t> processes;
    std::optional<std::vector<int>> cpus;            ///< cpuset; the caller turns counts into sets
    std::optional<std::vector<int>> memory_nodes;    ///< NUMA nodes to take memory from
    unsigned cpu_handicap = 0;                       ///< 10 less limits.cpu.priority; taken off the weight
    std::optional<unsigned> disk_priority;           ///< 0..10
    std::map<std::string, std::uint64_t> hugepages;  ///< bytes by page size, "2MB"
    std::map<std::string, DiskRates> disk_rates;  ///< by whole disk, "8:0"; v1 cannot delay buffered writes
    std::optional<std::uint64_t> cpu_weight;      ///< 1..10000, cgroup2 cpu.weight; turned into shares on v1
    std::optional<std::uint64_t> cpu_quota_us, cpu_period_us;
    int oom_score = 0;  ///< oom_score_adj of init and what it starts, proc(5)
    bool operator==(const Limits&) const = default;
};

/// One resource limit of all processes, getrlimit(2). UINT64_MAX: unlimited.
struct KernelLimit {
    std::string key;  ///< the config key, for errors
    int resource = 0;
    std::uint64_t soft = 0, hard = 0;
    bool operator==(const KernelLimit&) const = default;
};

/// A kernel parameter to be written in the container's namespaces.
struct Sysctl {
    std::string key;   ///< the config key, for errors
    std::string path;  ///< beneath /proc/sys
    std::string value;
    bool operator==(const Sysctl&) const = default;
};

/// A device node that a privileged container may open.
struct DeviceRule {
    bool block = false;
    unsigned major = 0;
    std::optional<unsigned> minor;  ///< none: all of the major number
    bool operator==(const DeviceRule&) const = default;
};
/// A value for a file of the container's group, written before init enters it.
struct CgroupValue {
    std::string key;         ///< the config key, for errors
    std::string controller;  ///< whose v1 hierarchy; empty: cgroup2
    std::string file, value;
    bool operator==(const CgroupValue&) const = default;
};
/// What only raw.lxc and raw.apparmor ask for.
struct Extras {
    std::uint64_t dropped_capabilities = 0;  ///< bits by number; gone for init and all that it starts
    std::vector<DeviceRule> devices;         ///< beside the usual ones
    bool any_device = false;
    std::vector<CgroupValue> cgroup_values;
    std::string apparmor_profile;  ///< of init and of every command; empty: none
};

/// security.syscalls.*; lists in the words of LXC's seccomp policies, see compile_seccomp().
struct SyscallPolicy {
    bool deny_default = true;
    bool deny_compat = false;
    std::string deny;
    std::string allow;  ///< when not empty, all else is refused
    bool deny_subvolumes =
        false;        ///< new ones of btrfs are "not supported"; not where `allow` or `raw` say it all
    std::string raw;  ///< raw.seccomp, a policy of LXC's that stands instead of the others
    bool operator==(const SyscallPolicy&) const = default;
};
/// Calls that an unprivileged container may make after all, where they are safe: nodes of the devices that
/// it has anyway, the mark of opaque directories of overlays, sysinfo(2) with its own limits,
/// sched_setscheduler(2), and mount(2) of the file systems that monitor/mount_rules.h finds in its run
/// directory.
struct Intercepts {
    bool mknod = false, setxattr = false, sysinfo = false, scheduler = false, mount = false,
         bpf_devices = false;
    bool operator==(const Intercepts&) const = default;
};
/// Errors: `bad_request` naming the line that is wrong.
Result<> check_syscall_policy(const SyscallPolicy& policy);

/// Something attached into the container's mount tree before init runs.
struct Attach {
    int mount_fd = -1;   ///< detached mount (open_tree); owned by the caller
    std::string target;  ///< path inside, resolved beneath the new root; made when missing
    bool is_directory = true;
};

/// What start() needs. Descriptors stay owned by the caller.
struct StartRequest {
    std::string name;  ///< unique key in this daemon: names cgroups and run files (DNS label)
    std::string hostname;
    std::string run_dir;      ///< 0700 directory of this container for the monitor: socket, exit status
    std::string console_log;  ///< file of the console ring, kept across restarts of the daemon
    sys::IdMap idmap;         ///< sys::IdMap::host(): privileged, no user namespace
    std::uint32_t owner_uid =
        0;  ///< creator of the user namespace, a uid used by nothing else (kernel-facts.md, inotify)
    int root_fd = -1;  ///< detached mount of the root file system
    std::vector<std::string> init{"/sbin/init"};
    std::vector<std::string>
        environment;   ///< "K=V", beside container=lxc, container_uuid, PATH, TERM, NOTIFY_SOCKET
    std::string uuid;  ///< container_uuid
    Limits limits;
    std::vector<KernelLimit> kernel_limits;
    std::vector<Sysctl> sysctls;
    SyscallPolicy syscalls;
    Intercepts intercepts;
    bool nesting = false;  ///< containers may run inside
    Extras extras;
    std::vector<Attach> attach;
    std::vector<std::string>
        extra_device_nodes;  ///< host device paths to offer in /dev beside the standard ones
    /// Called once the namespaces exist, before init runs: makes network links in `netns_fd`. Runs on the
    /// caller's thread.
    std::function<Result<>(int netns_fd, pid_t init_pid)> setup_network;
};

struct ExitStatus {
    enum class Kind { halt, reboot, exited, signalled } kind = Kind::halt;
    int code = 0;        ///< exit code, or the signal for `signalled`
    std::string detail;  ///< for people: "was killed by signal 11", "/sbin/init exited with status 255", ...
};

/// Events from monitors; called on the runtime's own thread: must only hand over.
struct Listener {
    /// It is told again by the recovery of each later daemon, until Runtime::forget_exit().
    std::function<void(const std::string& name, const ExitStatus& status)> on_exit;
    /// Guest systemd sent READY=1, at this CLOCK_REALTIME.
    std::function<void(const std::string& name, std::int64_t at_ns)> on_ready;
};

struct Running {
    pid_t init_pid = -1;             ///< in the daemon's pid namespace
    bool ready = false;              ///< READY=1 was seen
    bool frozen = false;             ///< found so by recover()
    std::int64_t started_at_ns = 0;  ///< init was exec'd; CLOCK_REALTIME
    std::int64_t ready_at_ns = 0;    ///< 0: not yet
};

struct ExecRequest {
    std::vector<std::string> argv;
    std::map<std::string, std::string> environment;
    std::string cwd;                 ///< empty: the user's home, else "/"
    std::uint32_t uid = 0, gid = 0;  ///< inside
    bool pty = false;
    unsigned width = 80, height = 24;
    int stdin_fd = -1, stdout_fd = -1, stderr_fd = -1;  ///< used without pty; owned by the caller
};
/// A command that was started in the container.
struct ExecHandle {
    UniqueFd
        channel;  ///< SEQPACKET to the monitor: see exec_wait_message(); closing it does not end the command
    UniqueFd pty_master;  ///< valid with pty
    pid_t pid = -1;       ///< in the daemon's pid namespace
};
/// 126 and 127 (not executable, not found) come as exit codes too, not as errors.
struct ExecEnd {
    int exit_code = 0;  ///< 128+N for signal N
};

struct Usage {
    std::uint64_t memory_bytes = 0, memory_peak_bytes = 0, swap_bytes = 0, swap_peak_bytes = 0;
    std::int64_t cpu_ns = 0;
    std::int64_t processes = 0;
};

/// What the kernel counts for a container, in the kernel's own terms. A host whose cgroups do not count
/// something leaves it out.
struct Counts {
    struct Disk {
        std::string device;  ///< as in /sys/block
        std::uint64_t read_bytes = 0, reads = 0, written_bytes = 0, writes = 0;
    };
    std::int64_t user_ns = 0, system_ns = 0;
    /// memory.stat: names of cgroup2 ("anon", "file_dirty") in bytes, whichever version the host has.
    std::map<std::string, std::uint64_t> memory;
    std::uint64_t memory_used_bytes = 0;
    std::uint64_t oom_kills = 0;
    std::vector<Disk> disks;
    std::int64_t processes = 0;
};

class Runtime {
public:
    struct Config {
        std::string monitor_program;  ///< path of lxmgr-monitor
        std::string cgroup_parent;  ///< name of our own cgroup below each hierarchy's root, unique per state
                                    ///< directory
    };
    static Result<std::unique_ptr<Runtime>> open(const Config& config, Listener listener);
    virtual ~Runtime() = default;  ///< leaves containers and monitors running

    /// Boots the container; returns when init has been exec'd. On failure everything it made is gone again,
    /// and the error names the step. If this process dies in the middle, the monitor undoes the start by
    /// itself.
    virtual Result<Running> start(const StartRequest& request) = 0;
    virtual Result<Counts> counts(const std::string& name) = 0;
    /// Whether guests may limit by this cgroup controller themselves: not when it is in a v1 hierarchy.
    [[nodiscard]] virtual bool guests_have(std::string_view controller) const = 0;
    /// A hint that start() will be called within some milliseconds: hides a wait of the kernel's on hosts
    /// with v1 cgroups (4-12 ms, docs/explanation/kernel-facts.md). Costs nothing; may be called at any time.
    virtual void expect_start() {}
    /// The same, and makes the cgroups, for which the kernel lets nobody through while it waits. Of the
    /// request `name`, `idmap` and `limits` are looked at. Then comes start(), or cancel_start().
    virtual Result<> prepare_start(const StartRequest&) { return {}; }
    virtual void cancel_start(const std::string&) {}
    /// Moves a process that is to outlive the daemon to the monitors, out of the daemon's own cgroup.
    virtual Result<> keep(pid_t) { return {}; }
    /// Finds a container whose monitor survived the previous daemon, and watches it from now on. When its
    /// exit happened meanwhile, on_exit is called for it. nullopt: nothing runs there (leftover files and
    /// cgroups are removed).
    virtual Result<std::optional<Running>> recover(const std::string& name, const std::string& run_dir) = 0;
    /// What on_exit told is recorded where it lasts. Before the container's next start.
    virtual void forget_exit(const std::string& run_dir) = 0;
    /// Names for which cgroups or run files exist, to find leftovers of instances nobody knows.
    virtual std::vector<std::string> leftovers() = 0;

    /// Asks init to halt: SIGRTMIN+3 when init blocks it (systemd), else SIGPWR; or SIGRTMIN+5/SIGINT for a
    /// reboot.
    virtual Result<> signal_halt(const std::string& name) = 0;
    virtual Result<> kill(const std::string& name) = 0;  ///< SIGKILL to all of it
    /// True: it has ended and its cgroups are gone.
    virtual bool wait_stopped(const std::string& name, std::optional<std::chrono::milliseconds> timeout) = 0;
    virtual Result<> freeze(const std::string& name) = 0;
    virtual Result<> unfreeze(const std::string& name) = 0;
    /// Applies what changed; on failure the old limits are in force again.
    virtual Result<> set_limits(const std::string& name, const Limits& old_limits,
                                const Limits& new_limits) = 0;
    /// Sets all of them in the cgroups whatever is in force there: of a container whose limits a daemon was
    /// changing when it died.
    virtual Result<> reset_limits(const std::string& name, const Limits& limits) = 0;
    virtual Result<Usage> usage(const std::string& name) = 0;

    virtual Result<ExecHandle> exec(const std::string& name, const ExecRequest& request) = 0;
    /// Opens the console: a descriptor of a stream socket that carries its bytes both ways; several may be
    /// attached.
    virtual Result<UniqueFd> attach_console(const std::string& name) = 0;
    virtual Result<> resize_console(const std::string& name, unsigned width, unsigned height) = 0;

    /// Attaches a mount while it runs, as StartRequest::attach does before. A missing mount point is made.
    virtual Result<> attach(const std::string& name, const Attach& attach) = 0;
    /// Unmounts what is on top there; no mount is success.
    /// @param remove_file  the mount point too, when it is an empty file
    virtual Result<> detach(const std::string& name, const std::string& target, bool remove_file) = 0;

    /// Descriptors into the live namespaces. `not_found` when it does not run.
    virtual Result<UniqueFd> open_root(const std::string& name) = 0;  ///< O_PATH directory of init's root
    virtual Result<UniqueFd> open_netns(const std::string& name) = 0;
};

/// Reads one message of an exec channel without blocking: nullopt when none is there yet; an ExecEnd at the
/// end. A channel that closes without an end (monitor died) gives an error.
Result<std::optional<ExecEnd>> exec_wait_message(int channel);
/// Sends a signal to the command (not to its children).
Result<> exec_signal(int channel, int signal_number);

/// The content of a console ring file, oldest byte first.
Result<std::string> read_console_log(const std::string& console_log);
Result<> clear_console_log(const std::string& console_log);

}  // namespace lxmgr::runtime
