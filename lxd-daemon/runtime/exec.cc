#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/monitor/message_io.h"
#include "lxd-daemon/runtime/impl.h"
#include "lxd-daemon/runtime/start_spec.h"

namespace lxmgr::runtime {
namespace {

/// Room for what a console prints while a client is not quick enough; beyond it, output is lost to that
/// client.
constexpr int kConsoleBuffer = 1 << 20;

std::vector<std::string> environment_of(const ExecRequest& request) {
    std::vector<std::string> out;
    for (const auto& [name, value] : request.environment) out.push_back(fmt::format("{}={}", name, value));
    if (!request.environment.contains("container")) out.emplace_back("container=lxc");
    return out;
}

/// A pipe belongs to who made it: without this, /dev/stdout could not be opened by the command's user.
void hand_over_pipe(int fd, uid_t uid, gid_t gid) {
    struct stat info{};
    if (::fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode)) (void)!::fchown(fd, uid, gid);
}

}  // namespace

Result<ExecHandle> Impl::exec(const std::string& name, const ExecRequest& request) {
    if (request.argv.empty()) return fail(Status::bad_request, "There is no command to execute");
    LX_TRY_AS(const LivePtr live, find(name));
    if (cgroups_.is_frozen(name))
        return fail(Status::conflict, fmt::format("The container '{}' is frozen", name));

    std::vector<int> fds;
    std::uint32_t given = 0;
    const int stdio[] = {request.stdin_fd, request.stdout_fd, request.stderr_fd};
    for (std::uint32_t i = 0; !request.pty && i < 3; ++i) {
        if (stdio[i] < 0) continue;
        hand_over_pipe(stdio[i], live->idmap.host_uid(request.uid), live->idmap.host_gid(request.gid));
        given |= 1U << i;
        fds.push_back(stdio[i]);
    }
    std::size_t bytes = request.cwd.size() + 4096;
    for (const auto& argument : request.argv) bytes += argument.size() + 8;
    for (const auto& [key, value] : request.environment) bytes += key.size() + value.size() + 16;
    std::vector<char> buffer(std::min(bytes, wire::kMaxMessage));
    wire::Writer writer(buffer.data(), buffer.size(), wire::Type::exec);
    for (const std::uint32_t number :
         {request.uid, request.gid, request.pty ? 1U : 0U, request.width, request.height, given}) {
        writer.u32(number);
    }
    writer.text(request.cwd.data(), request.cwd.size());
    write_list(writer, request.argv);
    write_list(writer, environment_of(request));

    LX_TRY_AS(UniqueFd channel, connect_monitor(live->run_dir_fd.get()));
    failpoint("runtime.exec.connected");
    LX_TRY(send_to_monitor(channel.get(), writer, fds));
    failpoint("runtime.exec.sent");
    LX_TRY_AS(Received answer, receive_from_monitor(channel.get(), kMonitorTimeout));
    failpoint("runtime.exec.started");
    if (answer.type == wire::Type::failed) return std::unexpected(failure_of(answer));
    if (answer.type != wire::Type::exec_started) return fail(Status::internal, "The monitor's answer is odd");
    return ExecHandle{std::move(channel), answer.take_fd(0), static_cast<pid_t>(answer.number(0))};
}

Result<std::optional<ExecEnd>> exec_wait_message(int channel) {
    LX_TRY_AS(const auto message, poll_monitor(channel));
    if (!message) return std::optional<ExecEnd>();
    failpoint("runtime.exec.ended");
    if (message->type != wire::Type::exec_end) return fail(Status::internal, "The monitor's message is odd");
    return std::optional(ExecEnd{static_cast<int>(message->number(0))});
}

Result<> exec_signal(int channel, int signal_number) {
    char buffer[sizeof(wire::Header) + sizeof(std::uint32_t)];
    wire::Writer writer(buffer, sizeof buffer, wire::Type::exec_signal);
    writer.u32(static_cast<std::uint32_t>(signal_number));
    return send_to_monitor(channel, writer, {});
}

Result<Received> Impl::ask_monitor(const Live& live, const wire::Writer& writer,
                                   const std::vector<int>& fds) {
    LX_TRY_AS(const UniqueFd connection, connect_monitor(live.run_dir_fd.get()));
    LX_TRY(send_to_monitor(connection.get(), writer, fds));
    LX_TRY_AS(Received answer, receive_from_monitor(connection.get(), kMonitorTimeout));
    if (answer.type == wire::Type::failed) return std::unexpected(failure_of(answer));
    return answer;
}

Result<UniqueFd> Impl::attach_console(const std::string& name) {
    LX_TRY_AS(const LivePtr live, find(name));
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno("socketpair", "");
    UniqueFd ours(ends[0]);
    const UniqueFd theirs(ends[1]);
    ::setsockopt(theirs.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kConsoleBuffer, sizeof kConsoleBuffer);
    char buffer[sizeof(wire::Header)];
    LX_TRY(ask_monitor(*live, wire::Writer(buffer, sizeof buffer, wire::Type::console), {theirs.get()}));
    return ours;
}

Result<> Impl::resize_console(const std::string& name, unsigned width, unsigned height) {
    LX_TRY_AS(const LivePtr live, find(name));
    char buffer[sizeof(wire::Header) + 2 * sizeof(std::uint32_t)];
    wire::Writer writer(buffer, sizeof buffer, wire::Type::resize);
    writer.u32(width);
    writer.u32(height);
    LX_TRY(ask_monitor(*live, writer, {}));
    return {};
}

}  // namespace lxmgr::runtime
