#include "lxd-daemon/runtime/child/mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <initializer_list>

namespace lxmgr::child {
namespace {

using wire::Step;

constexpr unsigned long kQuiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;

void mount_at(const Report& report, Step step, const char* type, const char* target, unsigned long flags,
              const char* options = nullptr) {
    // A read-only root that has the directory is fine; one that lacks it fails at the mount.
    ::mkdir(target, 0755);
    report.require(::mount(type, target, type, flags, options) == 0, step);
}

/// Kernel directories whose mount units fail in a user namespace, and make a systemd guest "degraded": being
/// mount points already, they are left alone. docs/explanation/kernel-facts.md. What the host lacks is
/// skipped.
void bind_over_sys() {
    for (const char* path : {"/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/config",
                             "/sys/kernel/security", "/sys/fs/pstore", "/sys/fs/fuse/connections"}) {
        ::mount(path, path, nullptr, MS_BIND, nullptr);
    }
}

int open_inside(int root, const char* path, int flags) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    return static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how));
}

/// Makes `path` (cut at each component in turn) and returns it, O_PATH; -1 with errno.
int make_target(int root, const char* path, bool is_directory) {
    char walked[PATH_MAX];
    std::size_t length = 0;
    int parent = open_inside(root, "/", O_PATH | O_DIRECTORY);
    while (parent >= 0) {
        while (*path == '/') ++path;
        if (*path == 0) return parent;
        const std::size_t part = std::strcspn(path, "/");
        if (length + part + 2 > sizeof walked) {
            errno = ENAMETOOLONG;
            break;
        }
        walked[length] = '/';
        std::memcpy(walked + length + 1, path, part);
        walked[length + 1 + part] = 0;
        const char* const name = walked + length + 1;
        const bool last = path[part + std::strspn(path + part, "/")] == 0;
        if (!last || is_directory) {
            if (::mkdirat(parent, name, 0755) != 0 && errno != EEXIST) break;
        } else {
            const int made =
                ::openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
            if (made < 0 && errno != EEXIST) break;
            if (made >= 0) ::close(made);
        }
        length += part + 1;
        path += part;
        ::close(parent);
        parent = open_inside(root, walked, O_PATH);
    }
    const int error = errno;
    if (parent >= 0) ::close(parent);
    errno = error;
    return -1;
}

}  // namespace

void enter_root(const Report& report, int root_fd) {
    // On systemd hosts "/" is shared; what we do must not travel back.
    report.require(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, Step::private_mounts);
    // Stacked over the old root: needs no directory of the host's as a mount point.
    const bool attached = ::move_mount(root_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) == 0;
    report.require(attached && ::fchdir(root_fd) == 0, Step::attach_root);
    report.require(::syscall(SYS_pivot_root, ".", ".") == 0, Step::pivot_root);
}

void mount_system(const Report& report, int dev_fd) {
    ::mkdir("/dev", 0755);
    report.require(::move_mount(dev_fd, "", AT_FDCWD, "/dev", MOVE_MOUNT_F_EMPTY_PATH) == 0,
                   Step::attach_dev);
    mount_at(report, Step::mount_proc, "proc", "/proc", kQuiet);
    mount_at(report, Step::mount_sys, "sysfs", "/sys", kQuiet);
    bind_over_sys();
    mount_at(report, Step::mount_devpts, "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
             "newinstance,ptmxmode=0666,mode=0620,gid=5,max=1024");
    mount_at(report, Step::mount_mqueue, "mqueue", "/dev/mqueue", kQuiet);
    mount_at(report, Step::mount_shm, "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
    mount_at(report, Step::mount_run, "tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755,size=20%");
}

void protect_proc(const Report& report) {
    struct Part {
        const char* path;
        const char* writable;  ///< below it
    };
    for (const Part& part : {Part{"/proc/sys", "/proc/sys/net"}, Part{"/proc/sysrq-trigger", nullptr},
                             Part{"/sys", "/sys/devices/virtual/net"}}) {
        if (::access(part.path, F_OK) != 0) continue;
        int kept = -1;
        if (part.writable != nullptr)
            kept =
                static_cast<int>(::open_tree(AT_FDCWD, part.writable, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
        // /sys is a mount already, with others on it; the two of /proc become one.
        const bool is_mount = std::strcmp(part.path, "/sys") == 0;
        bool done = is_mount || ::mount(part.path, part.path, nullptr, MS_BIND, nullptr) == 0;
        done = done &&
               ::mount(nullptr, part.path, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kQuiet, nullptr) == 0;
        if (kept >= 0) {
            done = done && ::move_mount(kept, "", AT_FDCWD, part.writable, MOVE_MOUNT_F_EMPTY_PATH) == 0;
            ::close(kept);
        }
        report.require(done, Step::protect_proc);
    }
}

void mount_nesting(const Report& report) {
    ::mkdir("/dev/.lxc", 0755);
    mount_at(report, Step::mount_nesting, "proc", "/dev/.lxc/proc", kQuiet);
    mount_at(report, Step::mount_nesting, "sysfs", "/dev/.lxc/sys", kQuiet);
}

void detach_old_root(const Report& report) {
    const bool detached = ::umount2(".", MNT_DETACH) == 0 && ::chdir("/") == 0;
    report.require(detached, Step::detach_old_root);
}

void attach_all(const Report& report, const Attachment* attachments, std::size_t count) {
    const int root = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (std::uint32_t i = 0; i < count; ++i) {
        const Attachment& attachment = attachments[i];
        int target =
            open_inside(root, attachment.target, O_PATH | (attachment.is_directory ? O_DIRECTORY : 0));
        if (target < 0 && errno == ENOENT)
            target = make_target(root, attachment.target, attachment.is_directory);
        report.require(target >= 0, Step::attach_mount, i);
        const unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
        report.require(::move_mount(attachment.mount_fd, "", target, "", flags) == 0, Step::attach_mount, i);
        ::close(target);
    }
    ::close(root);
}

void mount_cgroups(const Report& report) {
    report.require(::syscall(SYS_unshare, 0x02000000 /* CLONE_NEWCGROUP */) == 0, Step::cgroup_namespace);
    report.require(::mount("cgroup2", "/sys/fs/cgroup", "cgroup2", kQuiet, nullptr) == 0, Step::mount_cgroup);
}

}  // namespace lxmgr::child
