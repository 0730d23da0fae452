#include "lxd-daemon/monitor/intercepted_fuse.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

#include "lxd-daemon/monitor/message_io.h"

namespace lxmgr::monitor {
namespace {

constexpr std::uint32_t kNoProgram = 127;

/// The caller sees the same root as init, so that its paths mean the same to the program.
bool shares_root(const Job& job) {
    struct stat its{}, ours{};
    const int root = open_of(job.init, "root", O_PATH | O_DIRECTORY);
    const bool same = root >= 0 && ::fstat(root, &ours) == 0 && ::fstat(job.handles.root, &its) == 0 &&
                      its.st_dev == ours.st_dev && its.st_ino == ours.st_ino;
    ::close(root);
    return same;
}

int connect_monitor(int run_dir) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", run_dir, wire::kSocketName);
    const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
    ::close(socket);
    return -1;
}

void write_strings(wire::Writer& writer, const char* const* strings, std::uint32_t count) {
    writer.u32(count);
    for (std::uint32_t i = 0; i < count; ++i) writer.text(strings[i], std::strlen(strings[i]));
}

/// Layout: child/seat.cc.
bool send_command(int socket, const char* const* argv, std::uint32_t count) {
    static char buffer[4 * kPath];
    wire::Writer writer(buffer, sizeof buffer, wire::Type::exec);
    for (const std::uint32_t number : {0U, 0U, 0U, 0U, 0U, 7U})
        writer.u32(number);  // root, no pty, all of stdio
    writer.text("/", 1);
    write_strings(writer, argv, count);
    const char* const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                       "container=lxc"};
    write_strings(writer, environment, 2);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const int stdio[] = {null, null, null};
    const bool sent = null >= 0 && wire::send_message(socket, writer, stdio, 3) == 0;
    ::close(null);
    return sent;
}

/// A program that does not end in time is killed: it would hold its place at the monitor.
/// @return the program's exit code, or -1
int await_end(int socket) {
    const timeval patience{8, 0};  // less than a worker has
    ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (;;) {
        char answer[64];
        wire::ReceivedFds fds;
        const long size = wire::receive_message(socket, answer, sizeof answer, fds);
        if (size == -EAGAIN) {
            const std::uint32_t signal = SIGKILL;
            (void)wire::send_numbers(socket, wire::Type::exec_signal, &signal, 1);
        }
        if (size <= 0) return -1;
        wire::Reader reader(answer, static_cast<std::size_t>(size));
        if (reader.type() == wire::Type::exec_end) return static_cast<int>(reader.u32());
        if (reader.type() != wire::Type::exec_started) return -1;
    }
}

}  // namespace

int mount_by_fuse(const Job& job, const FuseMount& mount) {
    if (!shares_root(job)) return -EPERM;
    if (mount.source[0] != '/' || mount.target[0] != '/') return -EINVAL;
    static char options[kPath + 4];
    const char* const comma = mount.read_only && mount.options[0] != 0 ? "," : "";
    ::snprintf(options, sizeof options, "%s%s%s", mount.options, comma, mount.read_only ? "ro" : "");
    const char* const argv[] = {mount.program, mount.source, mount.target, "-o", options};
    const int socket = connect_monitor(job.run_dir);
    if (socket < 0) return -EIO;
    const int code = send_command(socket, argv, options[0] != 0 ? 5 : 3) ? await_end(socket) : -1;
    ::close(socket);
    if (code == 0) return 0;
    return code == static_cast<int>(kNoProgram) ? -ENODEV : -EINVAL;
}

}  // namespace lxmgr::monitor
