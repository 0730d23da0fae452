#include "lxd-daemon/runtime/monitor_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/un.h>

#include <cstring>

#include "lxd-daemon/monitor/message_io.h"
#include "lxd-daemon/monitor/steps.h"

namespace lxmgr::runtime {
namespace {

constexpr std::size_t kMaxReply = 256;
/// Messages up to here pass with the default send buffer (net.core.wmem_default, 208 KiB).
constexpr std::size_t kSmallMessage = 64 * 1024;

std::unexpected<Error> lost(std::string_view why) {
    return fail(Status::unavailable, fmt::format("The container's monitor {}", why));
}

Received parse_answer(const char* data, std::size_t size, wire::ReceivedFds& fds) {
    wire::Reader reader(data, size);
    Received received;
    if (reader.ok()) received.type = reader.type();
    for (std::size_t left = (size - sizeof(wire::Header)) / sizeof(std::uint32_t); reader.ok() && left > 0;
         --left) {
        received.numbers.push_back(reader.u32());
    }
    for (std::size_t i = 0; i < fds.count(); ++i) received.fds.emplace_back(fds.take(i));
    return received;
}

}  // namespace

Result<UniqueFd> connect_monitor(int run_dir) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket) return fail_errno("socket", "");
    // Through /proc: the path of a run directory may be longer than the 108 bytes of an address.
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = fmt::format("/proc/self/fd/{}/{}", run_dir, wire::kSocketName);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        return socket;
    if (errno == ENOENT || errno == ECONNREFUSED)
        return fail(Status::not_found, "The container has no monitor");
    return fail_errno("Connecting to", "the container's monitor");
}

Result<> send_to_monitor(int socket, const wire::Writer& writer, const std::vector<int>& fds) {
    if (!writer.ok())
        return fail(Status::too_large,
                    "The request is too large: arguments and environment are limited to 1 MiB");
    if (writer.size() > kSmallMessage) {
        const int room = 2 * static_cast<int>(wire::kMaxMessage);
        ::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    }
    const int error = wire::send_message(socket, writer, fds.data(), fds.size());
    if (error == 0) return {};
    if (error == EPIPE || error == ECONNRESET) return lost("is gone");
    errno = error;
    return fail_errno("Sending", "to the container's monitor");
}

Result<> send_to_monitor(int socket, wire::Type type, const std::vector<int>& fds) {
    char buffer[sizeof(wire::Header)];
    return send_to_monitor(socket, wire::Writer(buffer, sizeof buffer, type), fds);
}

Result<std::optional<Received>> poll_monitor(int socket) {
    char buffer[kMaxReply];
    wire::ReceivedFds fds;
    long size = wire::receive_message(socket, buffer, sizeof buffer, fds, MSG_DONTWAIT);
    // The monitor closed with a message of ours unread, a signal that came too late. The kernel tells that
    // once, before what is still queued for us: the command's end (unix_release_sock and
    // __skb_try_recv_datagram).
    if (size == -ECONNRESET) size = wire::receive_message(socket, buffer, sizeof buffer, fds, MSG_DONTWAIT);
    if (size == -EAGAIN) return std::optional<Received>();
    if (size <= 0 || static_cast<std::size_t>(size) < sizeof(wire::Header)) return lost("is gone");
    return std::optional(parse_answer(buffer, static_cast<std::size_t>(size), fds));
}

Result<Received> receive_from_monitor(int socket, std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        LX_TRY_AS(auto received, poll_monitor(socket));
        if (received) return std::move(*received);
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) return lost(fmt::format("did not answer within {} ms", timeout.count()));
        pollfd waited{socket, POLLIN, 0};
        ::poll(&waited, 1, static_cast<int>(left.count()));
    }
}

namespace {

/// The part of the request that a failed step was busy with; empty where there is none.
std::string part_of(wire::Step step, std::size_t index, const StartRequest& request) {
    if (step == wire::Step::attach_mount && index < request.attach.size())
        return fmt::format(" on '{}'", request.attach[index].target);
    if (step == wire::Step::write_sysctl && index < request.sysctls.size())
        return fmt::format(" ('{}')", request.sysctls[index].key);
    if (step == wire::Step::set_kernel_limit && index < request.kernel_limits.size())
        return fmt::format(" ('{}')", request.kernel_limits[index].key);
    return "";
}

}  // namespace

Error failure_of(const Received& message, const StartRequest* request) {
    const auto step = static_cast<wire::Step>(message.number(0));
    const int error = static_cast<int>(message.number(1));
    std::string text = wire::step_name(step);
    text[0] = static_cast<char>(text[0] - 'a' + 'A');
    if (request != nullptr) text += part_of(step, message.number(2), *request);
    text += error == 0 ? " failed" : fmt::format(": {}", std::strerror(error));
    return Error{Status::internal, std::move(text), error};
}

}  // namespace lxmgr::runtime
