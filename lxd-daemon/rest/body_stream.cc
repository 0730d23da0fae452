#include "lxd-daemon/rest/body_stream.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "lxd-daemon/operations/worker_pool.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;
/// How often a reader looks whether the I/O thread has ended, and for what came slowly: to be woken for each
/// piece that the client sends costs more than the piece.
constexpr std::chrono::milliseconds kGlance{200};

}  // namespace

BodyStream::BodyStream(Services& services, std::uint64_t size_bytes)
    : services_(services),
      size_bytes_(size_bytes),
      taken_(services.io),
      buffer_bytes_(size_bytes == 0 ? kBufferBytes : std::min<std::uint64_t>(size_bytes, kBufferBytes)),
      part_bytes_(std::max(buffer_bytes_ / 4, std::size_t{1})),
      buffer_(std::make_unique_for_overwrite<char[]>(buffer_bytes_)) {}

asio::awaitable<std::span<char>> BodyStream::room(std::shared_ptr<BodyStream> self) {
    for (;;) {
        {
            const std::lock_guard lock(self->mutex_);
            if (self->abandoned_) co_return std::span<char>();
            const std::size_t all = self->buffer_bytes_;
            const std::size_t begin = (self->read_at_ + self->filled_) % all;
            const std::size_t size = std::min(all - self->filled_, all - begin);
            if (size > 0) co_return std::span<char>(self->buffer_.get() + begin, size);
            // Under the lock, and woken by what is posted to this thread: no waking is missed.
            self->taken_.expires_at(asio::steady_timer::time_point::max());
        }
        boost::system::error_code error;
        auto waiting = self->taken_.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(waiting);
    }
}

void BodyStream::came(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    filled_ += bytes;
    if (worth_reading()) came_.notify_one();
}

void BodyStream::end(Result<> how) {
    const std::lock_guard lock(mutex_);
    if (how_) return;
    how_ = std::move(how);
    came_.notify_one();
}

Result<> BodyStream::wait_for_bytes(std::unique_lock<std::mutex>& lock, const std::stop_token& stop) {
    if (worth_reading()) return {};
    // A client may take its time: others get a thread in place of this one.
    const operations::WorkerPool::Waiting waiting(services_.workers);
    while (!came_.wait_for(lock, stop, kGlance, [this] { return worth_reading(); })) {
        if (stop.stop_requested()) return fail(Status::unavailable, "Reading the body was cancelled");
        if (services_.io.stopped()) return fail(Status::unavailable, "The daemon is shutting down");
        if (filled_ > 0) break;
    }
    return {};
}

Result<std::string_view> BodyStream::next(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (const std::size_t read = std::exchange(lent_, 0); read > 0) {
        const bool was_full = filled_ == buffer_bytes_;
        read_at_ = (read_at_ + read) % buffer_bytes_;
        filled_ -= read;
        if (was_full) wake_writer();
    }
    LX_TRY(wait_for_bytes(lock, stop));
    if (filled_ == 0) {
        LX_TRY(*how_);
        return std::string_view();
    }
    // A part at a time, so that the writer gets room before all is read.
    lent_ = std::min({filled_, buffer_bytes_ - read_at_, part_bytes_});
    return std::string_view(buffer_.get() + read_at_, lent_);
}

bool BodyStream::is_ready() {
    const std::lock_guard lock(mutex_);
    return filled_ - lent_ >= part_bytes_ || how_.has_value();
}

bool BodyStream::is_abandoned() {
    const std::lock_guard lock(mutex_);
    return abandoned_;
}

void BodyStream::abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    asio::post(services_.io, [self = shared_from_this()] {
        self->taken_.cancel();
        if (auto gone = std::exchange(self->gone_, nullptr)) gone();
    });
}

void BodyStream::wake_writer() {
    asio::post(services_.io, [self = shared_from_this()] { self->taken_.cancel(); });
}

std::shared_ptr<images::ByteSource> reading_end(const std::shared_ptr<BodyStream>& stream) {
    return {stream.get(), [stream](images::ByteSource*) { stream->abandon(); }};
}

}  // namespace lxmgr::rest
