#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>

#include "lxd-daemon/monitor/intercepted_fuse.h"
#include "lxd-daemon/monitor/intercepted_job.h"
#include "lxd-daemon/monitor/mount_rules.h"

// glibc's and the kernel's headers of mount(2) exclude each other, so what mount(2) has stands here.
namespace lxmgr::monitor {
namespace {

constexpr unsigned long kMsRdonly = 1, kMsNosuid = 2, kMsNodev = 4, kMsNoexec = 8, kMsSynchronous = 16,
                        kMsMandlock = 64, kMsDirsync = 128, kMsNosymfollow = 256, kMsNoatime = 1024,
                        kMsNodiratime = 2048, kMsSilent = 1 << 15, kMsPosixacl = 1 << 16,
                        kMsRelatime = 1 << 21, kMsIversion = 1 << 23, kMsStrictatime = 1 << 24,
                        kMsLazytime = 1 << 25;
constexpr unsigned long kMsMagic = 0xc0ed0000, kMsMagicMask = 0xffff0000;
constexpr unsigned long kKnown = kMsRdonly | kMsNosuid | kMsNodev | kMsNoexec | kMsSynchronous | kMsMandlock |
                                 kMsDirsync | kMsNosymfollow | kMsNoatime | kMsNodiratime | kMsSilent |
                                 kMsPosixacl | kMsRelatime | kMsIversion | kMsStrictatime | kMsLazytime;

/// Options that name further devices or files, which would be the host's.
constexpr const char* kForeign[] = {"journal_dev", "journal_path", "logdev",    "rtdev",
                                    "device",      "jdev",         "fd",        "fsid",
                                    "domain_id",   "quota",        "usrjquota", "grpjquota"};

/// As the caller for what looks at files, with CAP_SYS_ADMIN and nothing else in force.
bool assume(const Caller& caller) {
    if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0) return false;
    if (::syscall(SYS_setgroups, caller.group_count, caller.groups) != 0) return false;
    ::setfsgid(caller.gid);
    ::setfsuid(caller.uid);
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
    if (::syscall(SYS_capget, &header, sets) != 0) return false;
    for (auto& set : sets) set.effective = 0;
    sets[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective = CAP_TO_MASK(CAP_SYS_ADMIN);
    if (::syscall(SYS_capset, &header, sets) != 0) return false;
    return static_cast<unsigned>(::setfsuid(caller.uid)) == caller.uid;
}

bool resume() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
    if (::syscall(SYS_capget, &header, sets) != 0) return false;
    for (auto& set : sets) set.effective = set.permitted;
    if (::syscall(SYS_capset, &header, sets) != 0) return false;
    ::setfsuid(0);
    ::setfsgid(0);
    return true;
}

int open_beneath(int root, const char* path, int flags, unsigned long long resolve) {
    open_how how{};
    how.flags = static_cast<unsigned long long>(flags | O_CLOEXEC);
    how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
    return static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how));
}

bool is_ext(const char* type) { return std::strncmp(type, "ext", 3) == 0 && type[4] == 0; }

/// The superblock itself can name another device as the journal's, which the kernel would open by its number:
/// s_journal_dev, https://docs.kernel.org/filesystems/ext4/globals.html
bool has_foreign_journal(int device) {
    constexpr off_t kJournalDevice = 1024 + 0xe4;
    std::uint32_t number = 0;
    return ::pread(device, &number, sizeof number, kJournalDevice) != sizeof number || number != 0;
}

/// The block device that the caller names, which it must be able to open itself: its file system's nodev and
/// the node's mode count. @return a handle, or a negative errno
int open_source(const Job& job, const char* type, const char* source, bool read_only) {
    if (source[0] != '/') return -ENOENT;
    if (!assume(job.caller)) return -EPERM;
    int error = 0;
    const int node = open_beneath(job.handles.root, source, O_PATH, RESOLVE_IN_ROOT);
    if (node < 0) error = errno;
    struct stat info{};
    if (node >= 0 && (::fstat(node, &info) != 0 || !S_ISBLK(info.st_mode))) error = ENOTBLK;
    if (error == 0) {
        char path[32];
        ::snprintf(path, sizeof path, "/proc/self/fd/%d", node);
        const int tried = ::open(path, (read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC);
        if (tried < 0) error = errno;
        if (tried >= 0 && is_ext(type) && has_foreign_journal(tried)) error = EPERM;
        ::close(tried);
    }
    if (!resume()) error = EPERM;
    if (error == 0) return node;
    ::close(node);
    return -error;
}

int configure(int context, unsigned command, const char* key, const char* value) {
    return ::syscall(SYS_fsconfig, context, command, key, value, 0) == 0 ? 0 : -errno;
}

/// One option of mount(2)'s text; `option` is changed.
int add_option(int context, char* option) {
    char* const equals = std::strchr(option, '=');
    if (equals != nullptr) *equals = 0;
    for (const char* const foreign : kForeign)
        if (std::strcmp(option, foreign) == 0) return -EPERM;
    if (equals == nullptr) return configure(context, FSCONFIG_SET_FLAG, option, nullptr);
    const char* const value = equals + 1;
    // A path, or to take the host down at the first error of a crafted image.
    if (std::strchr(value, '/') != nullptr || std::strcmp(value, "panic") == 0) return -EPERM;
    return configure(context, FSCONFIG_SET_STRING, option, value);
}

int add_options(int context, const char* type, unsigned long flags, char* options) {
    // What to do at an error may stand in the file system itself, where it is the guest's to say "panic".
    if (is_ext(type)) {
        const int rc = configure(context, FSCONFIG_SET_STRING, "errors", "remount-ro");
        if (rc != 0) return rc;
    }
    for (char *rest = nullptr, *option = ::strtok_r(options, ",", &rest); option != nullptr;
         option = ::strtok_r(nullptr, ",", &rest)) {
        if (const int rc = add_option(context, option); rc != 0) return rc;
    }
    struct Flag {
        unsigned long bit;
        const char* name;
    };
    // After the text, so that no "rw" in it goes beyond what open_source() looked for.
    for (const Flag& flag : {Flag{kMsRdonly, "ro"}, Flag{kMsSynchronous, "sync"}, Flag{kMsDirsync, "dirsync"},
                             Flag{kMsLazytime, "lazytime"}}) {
        if ((flags & flag.bit) == 0) continue;
        if (const int rc = configure(context, FSCONFIG_SET_FLAG, flag.name, nullptr); rc != 0) return rc;
    }
    return 0;
}

unsigned attributes_of(unsigned long flags) {
    unsigned out = MOUNT_ATTR_NODEV;  // always: it may hold nodes of any device of the host's
    if ((flags & kMsRdonly) != 0) out |= MOUNT_ATTR_RDONLY;
    if ((flags & kMsNosuid) != 0) out |= MOUNT_ATTR_NOSUID;
    if ((flags & kMsNoexec) != 0) out |= MOUNT_ATTR_NOEXEC;
    if ((flags & kMsNosymfollow) != 0) out |= MOUNT_ATTR_NOSYMFOLLOW;
    if ((flags & kMsNodiratime) != 0) out |= MOUNT_ATTR_NODIRATIME;
    if ((flags & kMsNoatime) != 0) out |= MOUNT_ATTR_NOATIME;
    if ((flags & kMsStrictatime) != 0) out |= MOUNT_ATTR_STRICTATIME;
    return out;
}

/// A tmpfs of our own with nothing in it but the device's node, at the path that the caller gave: so that
/// this path, which the container's /proc/mounts then shows, means the device that was looked at. @return it,
/// or -1
int make_stage(const char* source, dev_t device) {
    const int context = static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC));
    const bool made = context >= 0 && configure(context, FSCONFIG_CMD_CREATE, nullptr, nullptr) == 0;
    const int stage = made ? static_cast<int>(::syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0)) : -1;
    ::close(context);
    char path[kPath];
    std::strncpy(path, source + std::strspn(source, "/"), sizeof path - 1);  // never an absolute one
    path[sizeof path - 1] = 0;
    for (char* slash = std::strchr(path, '/'); stage >= 0 && slash != nullptr;
         slash = std::strchr(slash + 1, '/')) {
        *slash = 0;
        (void)!::mkdirat(stage, path, 0700);
        *slash = '/';
    }
    if (stage >= 0 && ::mknodat(stage, path, S_IFBLK | 0600, device) == 0) return stage;
    ::close(stage);
    return -1;
}

/// Runs the last step of a context with this directory as the root. @return 0 or a negative errno
int create_in(int stage, int context) {
    const int root = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int rc = -EPERM;
    if (root >= 0 && ::fchdir(stage) == 0 && ::chroot(".") == 0)
        rc = configure(context, FSCONFIG_CMD_CREATE, nullptr, nullptr);
    if (::fchdir(root) != 0 || ::chroot(".") != 0) ::_exit(1);
    ::close(root);
    return rc;
}

/// @return a detached mount, or a negative errno
int make_mount(const char* type, const char* source, int node, unsigned long flags, char* options) {
    struct stat info{};
    // A path with ".." in it is none that could be made anew.
    if (::fstat(node, &info) != 0 || std::strstr(source, "/..") != nullptr) return -EINVAL;
    const int stage = make_stage(source, info.st_rdev);
    if (stage < 0) return -EINVAL;
    const int context = static_cast<int>(::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
    if (context < 0) return -errno;
    int rc = configure(context, FSCONFIG_SET_STRING, "source", source);
    if (rc == 0) rc = add_options(context, type, flags, options);
    if (rc == 0) rc = create_in(stage, context);
    long mount = -1;
    if (rc == 0) {
        mount = ::syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes_of(flags));
        if (mount < 0) rc = -errno;
    }
    ::close(context);
    ::close(stage);
    return rc == 0 ? static_cast<int>(mount) : rc;
}

int shift_owners(int mount, pid_t init) {
    const int users = open_of(init, "ns/user", O_RDONLY);
    if (users < 0) return -errno;
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<__u64>(users);
    const long rc = ::syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
    const int error = errno;
    ::close(users);
    return rc == 0 ? 0 : -error;
}

/// A copy whose flags nobody in the container can take away, "nodev" above all: the kernel locks those of
/// mounts that are copied into a mount namespace of a user namespace with less rights, mount_namespaces(7).
/// For that a child goes into such a one; descriptors are shared with it. @return the copy, or a negative
/// errno
int lock_flags(int mount) {
    constexpr const char* kSomewhere = "/proc";
    clone_args args{};
    args.flags = CLONE_FILES;
    args.exit_signal = SIGCHLD;
    const long child = ::syscall(SYS_clone3, &args, sizeof args);
    if (child == 0) {
        mount_attr attributes{};
        attributes.propagation = 1 << 18;  // MS_PRIVATE: nothing of this gets out
        const bool away =
            ::unshare(CLONE_NEWNS) == 0 &&
            ::syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attributes, sizeof attributes) == 0;
        const bool put =
            away && ::syscall(SYS_move_mount, mount, "", AT_FDCWD, kSomewhere, MOVE_MOUNT_F_EMPTY_PATH) == 0;
        if (!put || ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ::_exit(0);
        const long copy = ::syscall(SYS_open_tree, AT_FDCWD, kSomewhere, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        ::_exit(copy > 0 && copy < 256 ? static_cast<int>(copy) : 0);
    }
    int status = 0;
    if (child < 0 || ::waitpid(static_cast<pid_t>(child), &status, 0) != child) return -EPERM;
    ::close(mount);
    return WIFEXITED(status) && WEXITSTATUS(status) > 0 ? WEXITSTATUS(status) : -EPERM;
}

/// From here on this process sees what the caller sees. @return 0 or a negative errno
int attach(const Job& job, int mount, int namespace_fd) {
    const bool there = ::setns(namespace_fd, CLONE_NEWNS) == 0 && ::fchdir(job.handles.root) == 0 &&
                       ::chroot(".") == 0 && ::fchdir(job.handles.base) == 0 && assume(job.caller);
    if (!there) return -EPERM;
    const int target = open_beneath(AT_FDCWD, job.path, O_PATH, 0);
    if (target < 0) return -errno;
    if (!job.is_valid()) return -EINTR;
    const long rc =
        ::syscall(SYS_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    return rc == 0 ? 0 : -errno;
}

struct MountCall {
    char type[kTypeName];
    char source[kPath];
    char options[kPath];
    unsigned long flags;
};

/// @return 0 or a negative errno
int mount_in_kernel(const Job& job, MountCall& call, bool shift, int namespace_fd) {
    if ((call.flags & ~kKnown) != 0) return -EINVAL;
    const int source = open_source(job, call.type, call.source, (call.flags & kMsRdonly) != 0);
    if (source < 0) return source;
    int mount = make_mount(call.type, call.source, source, call.flags, call.options);
    if (mount < 0) return mount;
    if (const int rc = shift ? shift_owners(mount, job.init) : 0; rc != 0) return rc;
    mount = lock_flags(mount);
    return mount < 0 ? mount : attach(job, mount, namespace_fd);
}

}  // namespace

void mount_for(Job& job) {
    static MountCall call;  // in a process of its own
    const auto* arguments = job.call.data.args;
    MountRule rule;
    // Looked at before anything else, since most mounts are none of ours: what is passed on the kernel reads
    // and checks itself.
    if (!may_call(job, CAP_SYS_ADMIN)) return job.pass_on();
    job.handles.memory = open_of(job.pid(), "mem", O_RDONLY);
    if (job.handles.memory < 0 || !read_text(job.handles.memory, arguments[2], call.type, sizeof call.type) ||
        !find_mount_rule(job.run_dir, call.type, rule))
        return job.pass_on();
    ::close(job.handles.memory);
    const int namespace_fd = open_of(job.pid(), "ns/mnt", O_RDONLY);
    if (!prepare(job, AT_FDCWD, arguments[1], CAP_SYS_ADMIN)) return;
    if (!read_text(job.handles.memory, arguments[0], call.source, sizeof call.source)) return job.pass_on();
    if (arguments[4] != 0 && !read_text(job.handles.memory, arguments[4], call.options, sizeof call.options))
        return job.pass_on();
    call.flags = arguments[3];
    if ((call.flags & kMsMagicMask) == kMsMagic) call.flags &= ~kMsMagicMask;
    // The type was read before; only this reading of it counts.
    if (!job.is_valid() || namespace_fd < 0) return job.pass_on();
    if (rule.program[0] == 0) return job.answer(mount_in_kernel(job, call, rule.shift, namespace_fd));
    if (!shares_namespace(job.pid(), job.init, "mnt")) return job.pass_on();
    job.answer(mount_by_fuse(
        job, {rule.program, call.source, job.path, call.options, (call.flags & kMsRdonly) != 0}));
}

}  // namespace lxmgr::monitor
