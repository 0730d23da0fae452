#include "lxd-daemon/runtime/child/init.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "lxd-daemon/runtime/child/guest_units.h"
#include "lxd-daemon/runtime/child/sysctl.h"

namespace lxmgr::child {
namespace {

using wire::Step;
using wire::Type;

/// Waits for the monitor's word. Its end instead: the start was given up, and nobody is left to tell.
void await(int socket, Type wanted) {
    char buffer[64];
    wire::ReceivedFds none;
    const long size = wire::receive_message(socket, buffer, sizeof buffer, none);
    if (size <= 0 || wire::Reader(buffer, static_cast<std::size_t>(size)).type() != wanted) ::_exit(1);
}

/// Where guest systemd sends READY=1. -1: the image's /run is unusual, then there is no such event.
int open_notify_socket(const Report& report) {
    if (::mkdir("/run/host", 0755) != 0) return -1;
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    report.require(fd >= 0, Step::notify_socket);
    const sockaddr_un address{AF_UNIX, "/run/host/notify"};
    const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    const int on = 1;
    const bool set = bound && ::setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
    report.require(set && ::chmod(address.sun_path, 0666) == 0, Step::notify_socket);
    return fd;
}

/// Lets every group inside use ping's unprivileged sockets, as systemd does on a host. Its own try, "0
/// 2147483647", fails here since a user namespace maps fewer groups; without it, ping of Debian 13 and later,
/// which has no file capability any more, works for root only. Best effort: the host may have no IPv4.
void allow_ping() {
    const int fd = ::open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    constexpr char kGroups[] = "0 65535";
    if (::write(fd, kGroups, sizeof kGroups - 1) < 0) errno = 0;
    ::close(fd);
}

struct Console {
    int devpts;
    int master;
    int slave;
};

/// The first pty of the new devpts instance, so pts/0: /dev/console is a symlink to it. A bind mount there
/// would make systemd 262's console-getty look for the host's console device (kernel-facts.md, console).
Console open_console(const Report& report) {
    Console console{};
    console.devpts = ::open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
    console.master = ::openat(console.devpts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    report.require(console.master >= 0, Step::open_console);
    const int unlocked = 0;
    const winsize size{24, 80, 0, 0};
    ::ioctl(console.master, TIOCSPTLCK, &unlocked);
    ::ioctl(console.master, TIOCSWINSZ, &size);
    console.slave = ::ioctl(console.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    report.require(console.slave >= 0, Step::open_console);
    return console;
}

void hand_over(const Report& report, int socket, const Console& console, int notify) {
    const int fds[] = {console.master, console.devpts, notify};
    const int error = wire::send_numbers(socket, Type::prepared, nullptr, 0, fds, notify >= 0 ? 3 : 2);
    errno = error;
    report.require(error == 0, Step::open_console);
    ::close(console.master);
    ::close(console.devpts);
    if (notify >= 0) ::close(notify);
}

}  // namespace

void run_init(const InitPlan& plan) {
    const Report report(plan.socket);
    await(plan.socket, Type::mapped);
    become_container_root(report, plan.confinement);
    enter_root(report, plan.root_fd);
    mount_system(report, plan.dev_fd);
    if (plan.nesting) mount_nesting(report);
    detach_old_root(report);
    allow_ping();
    ease_systemd(plan.argv[0]);
    const int notify = open_notify_socket(report);
    const Console console = open_console(report);
    attach_all(report, plan.attachments, plan.attachment_count);
    hand_over(report, plan.socket, console, notify);

    // Placed in its cgroups and connected to its networks: what is left is quick.
    await(plan.socket, Type::go);
    mount_cgroups(report);
    write_sysctls(report, plan.sysctls, plan.sysctl_count);  // the network devices are there now
    if (plan.confinement.privileged) protect_proc(report);
    report.require(::sethostname(plan.hostname, std::strlen(plan.hostname)) == 0, Step::set_hostname);
    // No controlling terminal: systemd sees to that itself.
    for (int fd = 0; fd < 3; ++fd) ::dup2(console.slave, fd);
    ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
    ::umask(022);
    report.require(choose_profile(plan.confinement), Step::choose_profile);
    if (const int listener = load_intercepts(report, plan.confinement); listener >= 0) {
        errno = wire::send_numbers(plan.socket, Type::listens, nullptr, 0, &listener, 1);
        report.require(errno == 0, Step::load_intercepts);
        ::close(listener);
    }
    load_seccomp(report, plan.confinement);
    std::uint32_t failed = 0;
    if (!set_kernel_limits(plan.confinement, failed)) report.fail(Step::set_kernel_limit, failed);
    ::execve(plan.argv[0], const_cast<char* const*>(plan.argv), const_cast<char* const*>(plan.environment));
    report.fail(Step::exec_init);
}

}  // namespace lxmgr::child
