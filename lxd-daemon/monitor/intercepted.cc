#include "lxd-daemon/monitor/intercepted.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lxd-daemon/monitor/intercepted_job.h"

namespace lxmgr::monitor {
namespace {

constexpr const char* kOpaque = "trusted.overlay.opaque";
constexpr unsigned kReaderSeconds = 9;  // less than its worker has

struct Device {
    unsigned type, major, minor;
};
/// What every container has in its /dev, and the whiteout of overlay file systems.
constexpr Device kSafe[] = {{S_IFCHR, 0, 0}, {S_IFCHR, 1, 3}, {S_IFCHR, 1, 5}, {S_IFCHR, 1, 7},
                            {S_IFCHR, 1, 8}, {S_IFCHR, 1, 9}, {S_IFCHR, 5, 0}};

/// From here on paths mean what they mean to the caller, and are walked with its rights and one capability
/// of the host's.
bool become(const Caller& caller, const Handles& handles, unsigned capability) {
    if (::fchdir(handles.root) != 0 || ::chroot(".") != 0 || ::fchdir(handles.base) != 0) return false;
    ::umask(caller.mask);
    if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0) return false;
    const bool changed = ::syscall(SYS_setgroups, caller.group_count, caller.groups) == 0 &&
                         ::syscall(SYS_setresgid, caller.gid, caller.gid, caller.gid) == 0 &&
                         ::syscall(SYS_setresuid, caller.uid, caller.uid, caller.uid) == 0;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
    sets[CAP_TO_INDEX(capability)].effective = CAP_TO_MASK(capability);
    sets[CAP_TO_INDEX(capability)].permitted = CAP_TO_MASK(capability);
    return changed && ::syscall(SYS_capset, &header, sets) == 0;
}

bool is_safe(unsigned mode, std::uint64_t device) {
    // As the kernel decodes it, new_decode_dev().
    const auto number = static_cast<unsigned>(device);
    const unsigned major = (number & 0xfff00U) >> 8;
    const unsigned minor = (number & 0xffU) | (number >> 12 & 0xfff00U);
    for (const Device& safe : kSafe) {
        if ((mode & S_IFMT) == safe.type && major == safe.major && minor == safe.minor) return true;
    }
    return false;
}

/// On a file system of the guest's own a node is made but cannot be opened: worse than a refusal.
int make_node(const char* path, unsigned mode, std::uint64_t device) {
    if (::syscall(SYS_mknodat, AT_FDCWD, path, mode, static_cast<unsigned>(device)) != 0) return -errno;
    if (device == 0 || (mode & S_IRUSR) == 0) return 0;
    const int fd = ::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) ::close(fd);
    if (fd >= 0 || errno != EACCES) return 0;
    ::unlink(path);
    return -EPERM;
}

void make_node_for(Job& job, int directory, const __u64* arguments) {
    const auto mode = static_cast<unsigned>(arguments[1]);
    if (!is_safe(mode, arguments[2])) return job.pass_on();
    if (!prepare(job, directory, arguments[0], CAP_MKNOD)) return;
    const bool ready = become(job.caller, job.handles, CAP_MKNOD);
    job.answer(ready ? make_node(job.path, mode, arguments[2]) : -EPERM);
}

/// Only the mark of a directory that hides those below it, which unpackers of image layers set.
void set_attribute_for(Job& job) {
    char name[64];
    char value = 0;
    const auto* arguments = job.call.data.args;
    if (arguments[3] != 1) return job.pass_on();
    if (!prepare(job, AT_FDCWD, arguments[0], CAP_SYS_ADMIN)) return;
    const bool known = read_text(job.handles.memory, arguments[1], name, sizeof name) &&
                       std::strcmp(name, kOpaque) == 0 &&
                       ::pread(job.handles.memory, &value, 1, static_cast<off_t>(arguments[2])) == 1 &&
                       value == 'y' && job.is_valid();
    if (!known) return job.pass_on();
    const bool set = become(job.caller, job.handles, CAP_SYS_ADMIN) &&
                     ::setxattr(job.path, kOpaque, "y", 1, static_cast<int>(arguments[4])) == 0;
    job.answer(set ? 0 : -errno);
}

bool read_small(const char* path, char* out, std::size_t capacity) {
    const int fd = ::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const ssize_t size = fd < 0 ? -1 : ::read(fd, out, capacity - 1);
    ::close(fd);
    if (size <= 0) return false;
    out[size] = 0;
    return true;
}

unsigned long kilobytes(const char* text, const char* name) {
    unsigned long long value = 0;
    number_at(line_of(text, name), 0, 10, value);
    return static_cast<unsigned long>(value) * 1024;
}

/// "0.25" as the kernel's fixed-point number. Moves on behind it.
unsigned long take_load(const char*& at) {
    unsigned long long whole = 0, hundredths = 0;
    take_number(at, 10, whole);
    if (*at == '.') take_number(++at, 10, hundredths);
    return static_cast<unsigned long>((whole << SI_LOAD_SHIFT) + (hundredths << SI_LOAD_SHIFT) / 100);
}

/// From the files that `free` and `uptime` read elsewhere; lxcfs answers those by the reader's namespaces.
bool read_info(struct sysinfo& info) {
    char text[8192];
    unsigned long long uptime = 0, running = 0, processes = 0;
    if (!read_small("/proc/meminfo", text, sizeof text)) return false;
    info.totalram = kilobytes(text, "MemTotal:");
    info.freeram = kilobytes(text, "MemFree:");
    info.sharedram = kilobytes(text, "Shmem:");
    info.bufferram = kilobytes(text, "Buffers:");
    info.totalswap = kilobytes(text, "SwapTotal:");
    info.freeswap = kilobytes(text, "SwapFree:");
    info.mem_unit = 1;
    if (!read_small("/proc/uptime", text, sizeof text) || !number_at(text, 0, 10, uptime)) return false;
    info.uptime = static_cast<long>(uptime);
    if (!read_small("/proc/loadavg", text, sizeof text)) return false;
    const char* at = text;
    for (unsigned long& load : info.loads) load = take_load(at);
    if (!take_number(at, 10, running) || *at++ != '/' || !take_number(at, 10, processes)) return false;
    info.procs = static_cast<unsigned short>(processes);
    return info.totalram > 0;
}

void tell_info_to(Job& job) {
    const int pids = open_of(job.init, "ns/pid", O_RDONLY);
    if (pids < 0 || !open_handles(job.pid(), AT_FDCWD, job.handles) || !job.is_valid()) return job.pass_on();
    // Only a child is in the container's pid namespace. It keeps the host's ids, which nobody in there can
    // signal or trace.
    const bool inside =
        ::setns(pids, CLONE_NEWPID) == 0 && ::fchdir(job.handles.root) == 0 && ::chroot(".") == 0;
    const pid_t reader = inside ? ::fork() : -1;
    if (reader == 0) {
        // Memory of the caller's may be a file of its own FUSE, which never answers.
        (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)::alarm(kReaderSeconds);
        struct sysinfo info{};
        if (!read_info(info)) ::_exit(1);
        if (!job.is_valid()) ::_exit(0);
        const auto address = static_cast<off_t>(job.call.data.args[0]);
        const bool written = ::pwrite(job.handles.memory, &info, sizeof info, address) == sizeof info;
        job.answer(written ? 0 : -EFAULT);
        ::_exit(0);
    }
    int status = 1;
    if (reader > 0) ::waitpid(reader, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) job.pass_on();
}

/// Real-time and other policies for processes of the container's. Only in the caller's pid namespace do its
/// pids mean what it means by them, and only a child is in it.
void schedule_for(Job& job) {
    const auto* arguments = job.call.data.args;
    struct sched_param parameter{};
    const int pids = open_of(job.pid(), "ns/pid", O_RDONLY);
    const bool known = pids >= 0 && read_caller(job.pid(), job.caller) &&
                       in_namespace_of(job.pid(), job.init) && open_handles(job.pid(), AT_FDCWD, job.handles);
    const bool may = (job.caller.capabilities >> CAP_SYS_NICE & 1) != 0;
    const auto target = static_cast<pid_t>(arguments[0]);
    if (!known || !may || target < 0 || !job.is_valid()) return job.pass_on();
    const auto address = static_cast<off_t>(arguments[2]);
    if (::pread(job.handles.memory, &parameter, sizeof parameter, address) != sizeof parameter)
        return job.answer(-EFAULT);
    const auto policy = static_cast<int>(arguments[1]);
    if (target == 0) {
        const int rc = ::sched_setscheduler(job.pid(), policy, &parameter);
        return job.answer(rc == 0 ? 0 : -errno);
    }
    const pid_t child = ::setns(pids, CLONE_NEWPID) == 0 ? ::fork() : -1;
    if (child == 0) ::_exit(::sched_setscheduler(target, policy, &parameter) == 0 ? 0 : errno);
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return job.answer(-EPERM);
    job.answer(-WEXITSTATUS(status));
}

}  // namespace

void perform(int listener, const seccomp_notif& call, pid_t init, int run_dir) {
    Job job{listener, call, init, run_dir, {}, {}, {}};
    const auto* arguments = call.data.args;
    switch (call.data.nr) {
#ifdef SYS_mknod
        case SYS_mknod:
            return make_node_for(job, AT_FDCWD, arguments);
#endif
        case SYS_mknodat:
            return make_node_for(job, static_cast<int>(arguments[0]), arguments + 1);
        case SYS_bpf:
            return bpf_for(job);
        case SYS_mount:
            return mount_for(job);
        case SYS_setxattr:
            return set_attribute_for(job);
        case SYS_sched_setscheduler:
            return schedule_for(job);
        case SYS_sysinfo:
            return tell_info_to(job);
        default:
            return job.pass_on();
    }
}

}  // namespace lxmgr::monitor
