#include "lxd-daemon/rest/bulk.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace lxmgr::rest {
namespace {

constexpr int kPipeBytes = 1 << 20;  // what an unprivileged pipe may have, /proc/sys/fs/pipe-max-size
constexpr int kSendBytes = 1 << 20;
/// A client that keeps up is waited for here, which saves a change of threads for every few pages.
constexpr int kPatienceMs = 5;

Result<UniqueFd> copy_of(int socket) {
    UniqueFd copy(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
    if (!copy) return fail_errno("dup", "of a connection");
    return copy;
}

bool ready(int socket, short events) {
    pollfd wanted{.fd = socket, .events = events, .revents = 0};
    return ::poll(&wanted, 1, kPatienceMs) == 1;
}

}  // namespace

Result<BodyReceiver> BodyReceiver::open(int socket) {
    BodyReceiver receiver;
    LX_TRY_AS(receiver.socket_, copy_of(socket));
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2", "for a body");
    receiver.pipe_out_.reset(ends[0]);
    receiver.pipe_in_.reset(ends[1]);
    (void)::fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);  // the default will do as well
    return receiver;
}

Result<> BodyReceiver::drain(int file, std::uint64_t bytes) {
    std::vector<char> buffer;  // only where the file system cannot splice
    while (bytes > 0) {
        ssize_t n = 0;
        if (buffer.empty()) {
            n = ::splice(pipe_out_.get(), nullptr, file, nullptr, bytes, SPLICE_F_MOVE);
            if (n < 0 && errno == EINVAL) {
                buffer.resize(kPipeBytes);
                continue;
            }
        } else {
            n = ::read(pipe_out_.get(), buffer.data(), std::min<std::uint64_t>(bytes, buffer.size()));
            for (ssize_t at = 0; at < n;) {
                const ssize_t written = ::write(file, buffer.data() + at, static_cast<std::size_t>(n - at));
                if (written < 0 && errno != EINTR) return fail_errno("Writing", "a body");
                at += std::max<ssize_t>(written, 0);
            }
        }
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fail_errno("Writing", "a body");
        bytes -= static_cast<std::uint64_t>(n);
    }
    return {};
}

Result<Moved> BodyReceiver::receive(int file, std::uint64_t most) {
    Moved moved;
    while (moved.bytes < most) {
        const auto wanted = std::min<std::uint64_t>(most - moved.bytes, kPipeBytes);
        const ssize_t n = ::splice(socket_.get(), nullptr, pipe_in_.get(), nullptr, wanted,
                                   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            if (ready(socket_.get(), POLLIN)) continue;
            return moved;
        }
        if (n < 0) return fail_errno("Reading", "a connection");
        moved.ended = n == 0;
        if (moved.ended) return moved;
        LX_TRY(drain(file, static_cast<std::uint64_t>(n)));
        moved.bytes += static_cast<std::uint64_t>(n);
    }
    return moved;
}

Result<BodySender> BodySender::open(int socket) {
    BodySender sender;
    LX_TRY_AS(sender.socket_, copy_of(socket));
    (void)::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBytes, sizeof kSendBytes);
    return sender;
}

Result<Moved> BodySender::send(int file, std::uint64_t most) {
    Moved moved;
    while (moved.bytes < most) {
        const ssize_t n = ::sendfile(socket_.get(), file, nullptr, most - moved.bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            if (ready(socket_.get(), POLLOUT)) continue;
            return moved;
        }
        if (n < 0) return fail_errno("Sending", "a file");
        moved.ended = n == 0;
        if (moved.ended) return moved;
        moved.bytes += static_cast<std::uint64_t>(n);
    }
    return moved;
}

}  // namespace lxmgr::rest
