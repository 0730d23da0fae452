#include "lxd-daemon/sys/lock_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cstring>

#include "lxd-daemon/sys/mount.h"

namespace lxmgr::sys {
namespace {

/// Over this directory of its own mount namespace the process puts its staging place. Not "/": a process
/// whose root is covered counts as chrooted, and such may not make user namespaces (current_chrooted()).
constexpr const char* kStagingPlace = "/proc";
constexpr const char* kSlot = "m";

struct Plan {
    int socket = -1;
    int staging = -1;  ///< detached tmpfs with the slot
    int mount = -1;
    const char* part = nullptr;  ///< "m" or "m/..."
};

/// Answers with an errno and, when that is 0, the descriptor. System calls only: a fork of a program with
/// threads.
[[noreturn]] void answer_lock(int socket, int error, int fd) {
    iovec data{&error, sizeof error};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (error == 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* const head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(head), &fd, sizeof fd);
    }
    ::syscall(SYS_sendmsg, socket, &message, MSG_NOSIGNAL);
    ::syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}

[[noreturn]] void lock(const Plan& plan) {
    ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    constexpr unsigned kEmptyBoth = MOVE_MOUNT_F_EMPTY_PATH;
    // On systemd hosts "/" is shared; what is attached here must not travel back.
    const bool attached =
        ::syscall(SYS_mount, nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        ::syscall(SYS_move_mount, plan.staging, "", AT_FDCWD, kStagingPlace, kEmptyBoth) == 0 &&
        ::syscall(SYS_fchdir, plan.staging) == 0 &&
        ::syscall(SYS_move_mount, plan.mount, "", plan.staging, kSlot, kEmptyBoth) == 0;
    // The working directory follows into the copied namespace; descriptors stay with the old one.
    if (!attached || ::syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS) != 0)
        answer_lock(plan.socket, errno, -1);
    const auto locked = static_cast<int>(
        ::syscall(SYS_open_tree, AT_FDCWD, plan.part, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    answer_lock(plan.socket, locked < 0 ? errno : 0, locked);
}

Result<UniqueFd> receive(int socket) {
    int error = ECHILD;  // it died before it could say anything
    iovec data{&error, sizeof error};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t size = 0;
    do {
        size = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    UniqueFd fd;
    if (const cmsghdr* head = CMSG_FIRSTHDR(&message); size > 0 && head != nullptr) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(head), sizeof number);
        fd.reset(number);
    }
    if (fd) return fd;
    errno = error;
    return fail_errno("Locking", "the attributes of a mount");
}

Result<UniqueFd> make_staging(bool is_directory) {
    LX_TRY_AS(auto tmpfs, FsContext::open("tmpfs"));
    LX_TRY(tmpfs.set("source", "none"));
    LX_TRY(tmpfs.set("mode", "0755"));
    LX_TRY(tmpfs.set("size", "64k"));
    LX_TRY(tmpfs.create());
    LX_TRY_AS(UniqueFd root, tmpfs.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
    if (is_directory) {
        if (::mkdirat(root.get(), kSlot, 0755) != 0) return fail_errno("mkdir", kSlot);
    } else {
        const UniqueFd file(::openat(root.get(), kSlot, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        if (!file) return fail_errno("Making", kSlot);
    }
    return root;
}

}  // namespace

Result<UniqueFd> lock_mount(int mount_fd, const MountPart& part) {
    LX_TRY_AS(const UniqueFd staging, make_staging(part.is_directory));
    const std::string path = part.path.empty() ? kSlot : fmt::format("{}/{}", kSlot, part.path);
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return fail_errno("socketpair", "");
    const UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    const Plan plan{theirs.get(), staging.get(), mount_fd, path.c_str()};
    // No exit signal: reaped below with __WALL, and unknown to who waits for real children.
    clone_args args{};
    args.flags = CLONE_NEWNS;
    const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
    if (pid < 0) return fail_errno("clone3", "to lock a mount");
    if (pid == 0) lock(plan);
    theirs.reset();
    auto locked = receive(ours.get());
    while (::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
    }
    return locked;
}

}  // namespace lxmgr::sys
