#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>

#include "lxd-daemon/rsync/filter.h"
#include "lxd-daemon/rsync/whole.h"
#include "lxd-daemon/rsync/wire.h"

/// lxmgr-rsync: runs rsync where it sees nothing but the tree that it sends or receives: what comes in is
/// another server's. Arguments: "send" or "receive", "instance" or "volume", then rsync's own; or kWhole,
/// with which it does the work itself (whole.h). As kShell it is rsync's remote shell, and hands its ends
/// over to the daemon.
namespace lxmgr::rsync {
namespace {

// Where the new root is put together; of the programs' trees there is a copy by then.
constexpr const char* kPlace = "/proc";

bool say(const char* what) {
    ::dprintf(2, "lxmgr-rsync: %s: %s\n", what, ::strerror(errno));
    return false;
}

int open_tree_clone(const char* path) {
    return static_cast<int>(
        ::syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
}

bool attach(int mount, const char* path) {
    return ::syscall(SYS_move_mount, mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

/// A folder with programs or libraries: the same link, or its tree, read-only.
struct Folder {
    const char* name;
    char link[64];
    int tree;
};

bool take(Folder& folder) {
    const ssize_t size = ::readlink(folder.name, folder.link, sizeof folder.link - 1);
    if (size > 0) {
        folder.link[size] = 0;
        return true;
    }
    folder.tree = open_tree_clone(folder.name);
    if (folder.tree < 0) return errno == ENOENT;
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    return ::syscall(SYS_mount_setattr, folder.tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                     sizeof attributes) == 0;
}

bool put(const Folder& folder) {
    const char* const name = folder.name + 1;
    if (folder.link[0] != 0) return ::symlink(folder.link, name) == 0;
    return folder.tree < 0 || (::mkdir(name, 0755) == 0 && attach(folder.tree, name));
}

bool make_root(int self, bool instance) {
    Folder folders[]{{"/usr", "", -1}, {"/bin", "", -1}, {"/lib", "", -1}, {"/lib64", "", -1}};
    for (auto& folder : folders) {
        if (!take(folder)) return say(folder.name);
    }
    if (::mount("tmpfs", kPlace, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") != 0 ||
        ::chdir(kPlace) != 0)
        return say("tmpfs");
    for (const auto& folder : folders) {
        if (!put(folder)) return say(folder.name);
    }
    const int shell = ::open(kShell + 1, O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
    // Closed, or it would keep the root writable.
    if (shell < 0 || ::close(shell) != 0 || !attach(self, kShell + 1)) return say(kShell);
    if (::mkdir("volume", 0700) != 0 || !attach(kTree, "volume")) return say("volume");
    if (instance && !attach(kRootfs, "volume/rootfs")) return say("volume/rootfs");
    if (::mount("", kPlace, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr) != 0)
        return say("remount");
    if (::syscall(SYS_pivot_root, ".", ".") != 0 || ::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0)
        return say("pivot_root");
    return true;
}

/// What is left for rsync as root.
bool keep_capabilities(std::uint64_t kept) {
    for (int number = 0; number < 64; ++number) {
        const bool keep = (kept >> number & 1) != 0;
        if (!keep && ::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0 && errno != EINVAL) return false;
    }
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    for (std::size_t half = 0; half < 2; ++half) {
        data[half].permitted = data[half].effective = static_cast<std::uint32_t>(kept >> (32 * half));
    }
    return ::syscall(SYS_capset, &header, data) == 0;
}

constexpr std::uint64_t bit(int capability) { return std::uint64_t{1} << capability; }

bool confine(bool receives, bool instance) {
    // It ends with the daemon's thread that waits for it.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return say("prctl");
    const int self = open_tree_clone("/proc/self/exe");  // of this mount namespace, not of the next one
    if (self < 0) return say("/proc/self/exe");
    if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID) != 0)
        return say("unshare");
    if (::mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) != 0) return say("mount");
    if (!make_root(self, instance)) return false;
    const std::uint64_t reading = bit(CAP_DAC_READ_SEARCH);
    const std::uint64_t writing = bit(CAP_CHOWN) | bit(CAP_DAC_OVERRIDE) | bit(CAP_FOWNER) | bit(CAP_FSETID) |
                                  bit(CAP_MKNOD) | bit(CAP_SETFCAP);
    if (!keep_capabilities(receives ? reading | writing : reading)) return say("capset");
    return confine_calls() || say("seccomp");
}

/// rsync's parent: outside of its namespace of processes, so that it can send signals to nobody but itself.
/// Ends as it does.
int wait_for(pid_t child) {
    for (const int fd : {0, 1, kTree, kRootfs, kHandover}) ::close(fd);  // their ends are rsync's
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return 1;
    }
    if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
    ::signal(WTERMSIG(status), SIG_DFL);
    ::raise(WTERMSIG(status));
    return 1;
}

int hand_over() {
    char byte = 0;
    iovec part{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> space{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = space.data();
    message.msg_controllen = space.size();
    cmsghdr* const control = CMSG_FIRSTHDR(&message);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(2 * sizeof(int));
    const int ends[2] = {0, 1};
    ::memcpy(CMSG_DATA(control), ends, sizeof ends);
    return ::sendmsg(kHandover, &message, MSG_NOSIGNAL) == 1 ? 0 : 1;
}

}  // namespace
}  // namespace lxmgr::rsync

int main(int argc, char** argv) {
    using namespace lxmgr::rsync;
    if (argc > 0 && ::strcmp(argv[0], kShell) == 0) return hand_over();
    if (argc < 4) return 2;
    const bool receives = ::strcmp(argv[1], "receive") == 0;
    if (!confine(receives, ::strcmp(argv[2], "instance") == 0)) return 1;
    const pid_t child = ::fork();
    if (child != 0) return child > 0 ? wait_for(child) : 1;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::umask(0);
    if (::strcmp(argv[3], kWhole) == 0) {
        ::signal(SIGPIPE, SIG_IGN);
        return receives ? receive_whole() : send_whole();
    }
    ::execv("/usr/bin/rsync", argv + 3);
    say("/usr/bin/rsync");
    return 1;
}
