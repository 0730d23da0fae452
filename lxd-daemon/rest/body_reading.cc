#include "lxd-daemon/rest/body_reading.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/operations/worker_pool.h"
#include "lxd-daemon/rest/body_stream.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/upgrade.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;

/// That the work has ended, for the I/O thread.
struct WorkEnd {
    explicit WorkEnd(asio::io_context& io) : there(io, asio::steady_timer::time_point::max()) {}
    std::optional<Result<>> how;
    asio::steady_timer there;
};

/// The other side of a body that is not taken in to its end must not wait for the rest.
class EndOfStream {
public:
    explicit EndOfStream(std::shared_ptr<BodyStream> stream) : stream_(std::move(stream)) {}
    EndOfStream(EndOfStream&&) = delete;
    ~EndOfStream() {
        stream_->on_abandoned(nullptr);
        stream_->end(fail(Status::unavailable, "The connection was closed"));
    }

private:
    std::shared_ptr<BodyStream> stream_;
};

using Work = std::function<void(std::shared_ptr<images::ByteSource>)>;

Result<> work_guarded(const Work& work, std::shared_ptr<images::ByteSource> body) {
    try {
        work(std::move(body));
        return {};
    } catch (const std::exception& bug) {
        log::error("exception while a body was read", {{"what", bug.what()}});
        return fail(Status::internal, "Internal error, see the daemon's log");
    }
}

std::shared_ptr<WorkEnd> post_work(Services& services, Work work, std::shared_ptr<images::ByteSource> body) {
    auto out = std::make_shared<WorkEnd>(services.io);
    services.workers.post([&services, out, work = std::move(work), body = std::move(body)]() mutable {
        auto how = work_guarded(work, std::move(body));
        work = nullptr;
        asio::post(services.io, [out, how = std::move(how)]() mutable {
            out->how = std::move(how);
            out->there.cancel();
        });
    });
    return out;
}

/// Until the body's end, or until nobody wants more of it.
asio::awaitable<Result<>> take_in(Incoming& incoming, std::shared_ptr<BodyStream> stream) {
    for (;;) {
        auto waiting = BodyStream::room(stream);
        const std::span<char> room = co_await std::move(waiting);
        if (room.empty()) co_return Result<>{};
        auto reading = incoming.read_incoming(room);
        const Result<std::size_t> size = co_await std::move(reading);
        if (stream->is_abandoned()) co_return Result<>{};
        LX_CO_TRY(size);
        if (*size == 0) {
            failpoint("rest.body.all_there");
            co_return incoming.check_incoming();
        }
        stream->came(*size);
    }
}

}  // namespace

asio::awaitable<Result<>> work_on_body(Incoming& incoming, Services& services, Work work) {
    const auto stream = std::make_shared<BodyStream>(services, incoming.incoming_bytes());
    const EndOfStream guard(stream);
    const auto end = post_work(services, std::move(work), reading_end(stream));
    stream->on_abandoned([&incoming] { incoming.stop_incoming(); });
    auto taking = take_in(incoming, stream);
    const Result<> taken = co_await std::move(taking);
    stream->end(taken);
    while (!end->how) {
        boost::system::error_code error;
        auto waiting = end->there.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(waiting);
    }
    LX_CO_TRY(taken);
    co_return *end->how;
}

}  // namespace lxmgr::rest
