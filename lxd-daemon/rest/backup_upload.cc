#include "lxd-daemon/rest/backup_upload.h"

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

using Begun = Result<operations::OperationPtr>;

/// What the beginning gave, for the I/O thread.
struct Beginning {
    explicit Beginning(asio::io_context& io) : there(io, asio::steady_timer::time_point::max()) {}
    std::optional<Begun> result;
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

Begun begin_guarded(const BeginImport& begin, const instances::BackupUpload& upload) {
    try {
        return begin(upload);
    } catch (const std::exception& bug) {
        log::error("exception at the beginning of an import", {{"what", bug.what()}});
        return fail(Status::internal, "Internal error, see the daemon's log");
    }
}

std::shared_ptr<Beginning> begin_on_worker(Services& services, instances::BackupUpload upload,
                                           BeginImport begin) {
    auto out = std::make_shared<Beginning>(services.io);
    services.workers.post([&services, out, upload = std::move(upload), begin = std::move(begin)]() mutable {
        auto result = begin_guarded(begin, upload);
        upload.content.reset();  // nobody but the operation reads on
        asio::post(services.io, [out, result = std::move(result)]() mutable {
            out->result = std::move(result);
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
            failpoint("rest.backup.all_there");
            co_return incoming.check_incoming();
        }
        stream->came(*size);
    }
}

}  // namespace

Handled take_backup(const Request& request, Services& services, instances::BackupUpload upload,
                    BeginImport begin) {
    auto& incoming = *request.incoming;
    const auto stream = std::make_shared<BodyStream>(services, incoming.incoming_bytes());
    const EndOfStream guard(stream);
    upload.content = std::make_shared<images::BackupReader>(reading_end(stream));
    const auto beginning = begin_on_worker(services, std::move(upload), std::move(begin));
    stream->on_abandoned([&incoming] { incoming.stop_incoming(); });
    auto taking = take_in(incoming, stream);
    const Result<> taken = co_await std::move(taking);
    stream->end(taken);
    while (!beginning->result) {
        boost::system::error_code error;
        auto waiting = beginning->there.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(waiting);
    }
    LX_CO_TRY(taken);
    LX_CO_TRY_AS(const auto operation, *std::move(beginning->result));
    co_return Response::operation(*operation);
}

}  // namespace lxmgr::rest
