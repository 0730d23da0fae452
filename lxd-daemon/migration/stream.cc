#include "lxd-daemon/migration/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <vector>

#include "lxd-daemon/base/failpoint.h"

namespace lxmgr::migration {
namespace {

constexpr int kStreamPipe = 1 << 20;

struct StreamPipe {
    UniqueFd reading, writing;
};

Result<StreamPipe> make_stream_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2", "for a stream");
    ::fcntl(ends[0], F_SETPIPE_SZ, kStreamPipe);  // a wish
    return StreamPipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// Moves what is said on, until it ends, or the peer ends its own stream: then it wants no more.
void relay(const UniqueFd& from, const UniqueFd& to, const UniqueFd& peer) {
    for (;;) {
        pollfd fds[2]{{peer.get(), POLLIN, 0}, {from.get(), POLLIN, 0}};
        if (::poll(fds, 2, -1) < 0 && errno != EINTR) return;
        if (fds[0].revents != 0) return;
        if (fds[1].revents == 0) continue;
        const ssize_t moved = ::splice(from.get(), nullptr, to.get(), nullptr, kStreamPipe, SPLICE_F_MOVE);
        if (moved == 0 || (moved < 0 && errno != EINTR)) return;
    }
}

Result<> read_pieces(int pipe, const std::function<Result<>(std::string_view piece)>& take) {
    std::vector<char> buffer(std::size_t{256} << 10);
    for (;;) {
        const ssize_t n = ::read(pipe, buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("Reading", "a stream");
        if (n == 0) return {};
        LX_TRY(take(std::string_view(buffer.data(), static_cast<std::size_t>(n))));
    }
}

}  // namespace

Result<> send_stream(Link& link, const std::function<Result<>(UniqueFd pipe)>& write,
                     const Progress& progress) {
    LX_TRY_AS(StreamPipe made, make_stream_pipe());
    LX_TRY_AS(StreamPipe out, make_stream_pipe());
    LX_TRY_AS(StreamPipe in, make_stream_pipe());  // the peer says its end, and nothing else
    Result<> written;
    std::jthread writer(
        [&written, &write, pipe = std::move(made.writing)]() mutable { written = write(std::move(pipe)); });
    std::jthread between([from = std::move(made.reading), to = std::move(out.writing),
                          peer = std::move(in.reading)]() mutable {
        relay(from, to, peer);
        from.reset();
        to.reset();
    });
    failpoint("migration.send_stream");
    const auto carried = link.carry(std::move(out.reading), std::move(in.writing), progress);
    writer.join();
    between.join();
    // What was cut off ends in EPIPE: the link knows why.
    if (!written && written.error().sys_errno != EPIPE) return written;
    LX_TRY(carried);
    return written;
}

Result<> receive_stream(Link& link, const std::function<Result<>(std::string_view piece)>& take,
                        const Progress& progress) {
    LX_TRY_AS(StreamPipe in, make_stream_pipe());
    LX_TRY_AS(StreamPipe out, make_stream_pipe());  // closed when all is taken: that is our end
    Result<> taken;
    std::jthread taker([&taken, &take, pipe = std::move(in.reading), end = std::move(out.writing)]() mutable {
        taken = read_pieces(pipe.get(), take);
        pipe.reset();
        end.reset();
    });
    failpoint("migration.receive_stream");
    const auto carried = link.carry(std::move(out.reading), std::move(in.writing), progress);
    taker.join();
    LX_TRY(taken);
    return carried;
}

}  // namespace lxmgr::migration
