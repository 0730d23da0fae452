#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/body_reading.h"
#include "lxd-daemon/rest/body_store.h"
#include "lxd-daemon/rest/bulk.h"
#include "lxd-daemon/rest/image_upload.h"
#include "lxd-daemon/rest/session.h"

// What a session reads after a request's head, and what it writes.
namespace lxmgr::rest {
namespace {

/// A browser that somebody leads here takes nothing of it for a page or a script:
/// https://fetch.spec.whatwg.org/#x-content-type-options-header, https://www.w3.org/TR/CSP3/
constexpr std::string_view kNoGuessing = "X-Content-Type-Options: nosniff\r\n";
constexpr std::string_view kNoPage =
    "X-Frame-Options: DENY\r\nContent-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";

constexpr std::size_t kBodyReadBytes = std::size_t{64} << 10;
constexpr std::size_t kFileChunk = std::size_t{256} << 10;
constexpr std::uint64_t kBulk = std::uint64_t{64} << 20;  // at a time, then others get the worker
constexpr std::chrono::seconds kLingerTime{2};
constexpr std::size_t kLingerBytes = std::size_t{4} << 20;
/// Some look for an answer only when they have sent all.
constexpr std::size_t kStreamLingerBytes = std::size_t{1} << 30;
constexpr std::size_t kGuestLingerBytes = std::size_t{64} << 10;

std::string_view reason(int status) { return http::obsolete_reason(static_cast<http::status>(status)); }

}  // namespace

asio::awaitable<bool> Session::read_more(std::size_t most) {
    if (in_at_ > 0) {
        in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(in_at_));
        in_at_ = 0;
    }
    const std::size_t before = in_.size();
    in_.resize(before + most);
    error_code error;
    auto pending = socket_.async_read_some(asio::buffer(in_.data() + before, most),
                                           asio::redirect_error(asio::use_awaitable, error));
    const std::size_t size = co_await std::move(pending);
    in_.resize(before + (error ? 0 : size));
    co_return !error && size > 0;
}

/// The next bytes of the body, at least one unless the body has ended.
asio::awaitable<Result<std::size_t>> Session::read_body_chunk(char* data, std::size_t size) {
    auto& body = parser_->get().body();
    body.data = data;
    body.size = size;
    body.more = true;
    while (body.size > 0 && !parser_->is_done()) {
        if (in_at_ == in_.size()) {
            allow(hosting_->limits.stall_time);
            auto pending = read_more(piece_);
            if (!co_await std::move(pending))
                co_return fail(Status::bad_request, "The request's body ends too early");
        }
        error_code error;
        in_at_ += parser_->put(asio::buffer(in_.data() + in_at_, in_.size() - in_at_), error);
        if (error == http::error::need_more && !parser_->is_done()) {
            // The parser wants to see a chunk's size line and the trailer whole, and sets them no limit.
            if (in_.size() - in_at_ > hosting_->limits.max_head_bytes)
                co_return fail(Status::bad_request, "Bad transfer encoding of the request's body");
            allow(hosting_->limits.stall_time);
            auto pending = read_more(piece_);
            if (!co_await std::move(pending))
                co_return fail(Status::bad_request, "The request's body ends too early");
        } else if (error && error != http::error::need_buffer) {
            co_return fail(Status::bad_request, "Bad transfer encoding of the request's body");
        }
    }
    deadline = SteadyTime::max();
    co_return size - body.size;
}

asio::awaitable<Result<>> Session::read_json_body(Request& request) {
    const std::size_t limit = hosting_->limits.max_json_bytes;
    const auto too_large = [limit] {
        return fail(Status::too_large, fmt::format("The request's body is larger than {} bytes", limit));
    };
    if (parser_->content_length().value_or(0) > limit) co_return too_large();
    std::vector<char> chunk(16384);
    while (!parser_->is_done()) {
        auto pending = read_body_chunk(chunk.data(), chunk.size());
        LX_CO_TRY_AS(const std::size_t size, co_await std::move(pending));
        request.body.append(chunk.data(), size);
        if (request.body.size() > limit) co_return too_large();
    }
    co_return Result<>{};
}

/// At constant memory, with back-pressure: a worker writes what has come while more comes.
asio::awaitable<Result<>> Session::store_body(Request& request, const Route& route) {
    // A copy: the work may outlive this coroutine when the daemon ends.
    const auto asked = std::make_shared<const Request>(route.place != nullptr ? request : Request());
    auto open = [asked, place_of = route.place, split = route.body == Body::file, type = request.content_type,
                 &services = hosting_->services]() -> Result<std::unique_ptr<BodyStore>> {
        UniqueFd place = place_of != nullptr ? place_of(*asked, services) : UniqueFd();
        BodyDirectory directory{services.root + "/tmp", nullptr};
        if (split) {
            LX_TRY_AS(directory, image_upload_directory(services));
        }
        return BodyStore::open(std::move(directory), type, split, std::move(place));
    };
    auto opening = on_worker(hosting_->services, std::move(open));
    LX_CO_TRY_AS(auto opened, co_await std::move(opening));
    const std::shared_ptr<BodyStore> store = std::move(opened);
    const std::uint64_t length = parser_->content_length().value_or(0);
    if (length > kFileChunk && store->whole() != nullptr) {
        auto receiving = receive_body(store, length);
        LX_CO_TRY(co_await std::move(receiving));
    }
    if (!body_done()) {
        piece_ = kBodyReadBytes;
        plain_left_ = length;
        auto keep = [store](std::shared_ptr<images::ByteSource> body) { return store->take(*body); };
        auto keeping = read_on_worker<void>(*this, hosting_->services, std::move(keep));
        LX_CO_TRY(co_await std::move(keeping));
    }
    LX_CO_TRY_AS(request.files, store->finish());
    request.files_hash = store->hash();
    co_return Result<>{};
}

/// The whole of a body that is one run of bytes, the parser passed by.
asio::awaitable<Result<>> Session::receive_body(std::shared_ptr<BodyStore> store, std::uint64_t bytes) {
    const std::size_t here = std::min<std::uint64_t>(bytes, in_.size() - in_at_);
    const auto first = std::make_shared<std::string>(in_.data() + in_at_, here);
    in_at_ += here;
    auto opened = BodyReceiver::open(socket_.native_handle());
    if (!opened) co_return std::unexpected(std::move(opened).error());
    const auto receiver = std::make_shared<BodyReceiver>(*std::move(opened));
    auto begin = [store, first] { return store->write(*first); };
    auto beginning = on_worker(hosting_->services, std::move(begin));
    LX_CO_TRY(co_await std::move(beginning));
    for (std::uint64_t left = bytes - here; left > 0;) {
        allow(hosting_->limits.stall_time);
        error_code error;
        auto waiting =
            socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(waiting);
        deadline = SteadyTime::max();
        if (error || !socket_.is_open())
            co_return fail(Status::bad_request, "The request's body ends too early");
        auto receive = [store, receiver, most = std::min(left, kBulk)] {
            return receiver->receive(store->whole()->fd.get(), most);
        };
        auto receiving = on_worker(hosting_->services, std::move(receive));
        LX_CO_TRY_AS(const Moved moved, co_await std::move(receiving));
        if (moved.ended) co_return fail(Status::bad_request, "The request's body ends too early");
        store->wrote(moved.bytes);
        left -= moved.bytes;
    }
    body_received_ = true;
    co_return Result<>{};
}

/// Of a body of a length that was said: into its place, the parser passed by.
asio::awaitable<Result<std::size_t>> Session::read_plain(std::span<char> room) {
    const std::size_t most = std::min<std::uint64_t>(room.size(), plain_left_);
    std::size_t size = std::min(most, in_.size() - in_at_);
    std::copy_n(in_.begin() + static_cast<std::ptrdiff_t>(in_at_), size, room.begin());
    in_at_ += size;
    if (size == 0) {
        allow(hosting_->limits.stall_time);
        error_code error;
        auto pending = socket_.async_read_some(asio::buffer(room.data(), most),
                                               asio::redirect_error(asio::use_awaitable, error));
        size = co_await std::move(pending);
        deadline = SteadyTime::max();
        if (error || size == 0) co_return fail(Status::bad_request, "The request's body ends too early");
    }
    plain_left_ -= size;
    body_received_ = plain_left_ == 0;
    co_return size;
}

asio::awaitable<Result<std::size_t>> Session::read_incoming(std::span<char> room) {
    if (body_done()) co_return std::size_t{0};
    if (plain_left_ > 0) {
        auto reading = read_plain(room);
        co_return co_await std::move(reading);
    }
    auto reading = read_body_chunk(room.data(), std::min(room.size(), kBodyReadBytes));
    co_return co_await std::move(reading);
}

void Session::stop_incoming() {
    error_code ignored;
    socket_.cancel(ignored);
}

asio::awaitable<Result<>> Session::read_body(Request& request, const Route& route) {
    const bool may_be_empty = route.body == Body::json || route.body == Body::backup;
    if (parser_->is_done() && may_be_empty) co_return Result<>{};
    if (to_lower(request.header("expect").value_or("")) == "100-continue" && !parser_->is_done()) {
        auto pending = write_all("HTTP/1.1 100 Continue\r\n\r\n", "");
        if (!co_await std::move(pending)) co_return fail(Status::bad_request, "The client has gone");
    }
    const bool is_json = to_lower(request.content_type).starts_with("application/json");
    const bool is_octets = to_lower(request.content_type).starts_with("application/octet-stream");
    if (route.body == Body::json || (route.body == Body::file && is_json) ||
        (route.body == Body::backup && !is_octets)) {
        auto pending = read_json_body(request);
        co_return co_await std::move(pending);
    }
    if (route.body == Body::backup) {
        request.incoming = this;
        plain_left_ = incoming_bytes();
        streamed_ = true;
        piece_ = kBodyReadBytes;
        co_return Result<>{};
    }
    auto pending = store_body(request, route);
    co_return co_await std::move(pending);
}

/// A body that no handler wanted, as far as it has come: small ones then do not cost the connection.
void Session::skip_buffered_body() {
    std::array<char, 4096> sink;
    while (!body_done() && in_at_ < in_.size()) {
        auto& body = parser_->get().body();
        body.data = sink.data();
        body.size = sink.size();
        body.more = true;
        error_code error;
        const std::size_t used = parser_->put(asio::buffer(in_.data() + in_at_, in_.size() - in_at_), error);
        in_at_ += used;
        if (used == 0 || (error && error != http::error::need_buffer)) return;
    }
}

/// Reads on for a moment after the last answer: closing with bytes unread would reset the connection, and the
/// client would see that instead of the answer.
asio::awaitable<void> Session::linger() {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    allow(kLingerTime);
    const std::size_t trusted = streamed_ ? kStreamLingerBytes : kLingerBytes;
    const std::size_t most = hosting_->guest.empty() ? trusted : kGuestLingerBytes;
    for (std::size_t total = 0; total < most;) {
        in_.clear();
        in_at_ = 0;
        auto reading = read_more(piece_);
        if (!co_await std::move(reading)) co_return;
        total += in_.size();
    }
}

asio::awaitable<bool> Session::write_all(std::string_view head, std::string_view body) {
    while (!head.empty() || !body.empty()) {
        allow(hosting_->limits.stall_time);
        const std::array<asio::const_buffer, 2> buffers{asio::buffer(head.data(), head.size()),
                                                        asio::buffer(body.data(), body.size())};
        error_code error;
        auto pending = socket_.async_write_some(buffers, asio::redirect_error(asio::use_awaitable, error));
        const std::size_t size = co_await std::move(pending);
        if (error) co_return false;
        const std::size_t of_head = std::min(size, head.size());
        head.remove_prefix(of_head);
        body.remove_prefix(size - of_head);
    }
    deadline = SteadyTime::max();
    co_return true;
}

asio::awaitable<bool> Session::write_response(Response response, bool head_only) {
    const std::uint64_t length = response.pieces.empty() ? response.body.size() : size_of(response.pieces);
    std::string head;
    head.reserve(256);
    fmt::format_to(std::back_inserter(head), "HTTP/1.1 {} {}\r\n", response.http_status,
                   reason(response.http_status));
    for (const auto& [name, value] : response.headers) {
        // A header cannot be ended by what a handler took from a client or a guest.
        if (has_control_chars(value)) continue;
        fmt::format_to(std::back_inserter(head), "{}: {}\r\n", name, value);
    }
    head += kNoGuessing;
    if (remote_) head += kNoPage;
    fmt::format_to(std::back_inserter(head), "Content-Length: {}\r\n{}\r\n", length,
                   keep_alive_ ? "" : "Connection: close\r\n");
    auto pending = write_all(head, head_only ? std::string_view{} : std::string_view(response.body));
    if (!co_await std::move(pending)) co_return false;
    if (head_only) co_return true;
    for (auto& piece : response.pieces) {
        auto sending = write_piece(std::move(piece));
        if (!co_await std::move(sending)) co_return false;
    }
    co_return true;
}

asio::awaitable<bool> Session::write_piece(Piece piece) {
    if (!piece.file) {
        auto writing = write_all("", piece.text);
        co_return co_await std::move(writing);
    }
    auto streaming = write_file(std::move(piece.file), piece.file_bytes);
    co_return co_await std::move(streaming);
}

asio::awaitable<bool> Session::write_file(UniqueFd file, std::uint64_t bytes) {
    auto opened = BodySender::open(socket_.native_handle());
    if (!opened) co_return false;
    const auto sender = std::make_shared<BodySender>(*std::move(opened));
    const auto fd = std::make_shared<UniqueFd>(std::move(file));
    while (bytes > 0) {
        auto send = [sender, fd, most = std::min(bytes, kBulk)] { return sender->send(fd->get(), most); };
        auto sending = on_worker(hosting_->services, std::move(send));
        const Result<Moved> moved = co_await std::move(sending);
        if (!moved || moved->ended) co_return false;  // shorter than promised: only closing tells the client
        bytes -= moved->bytes;
        if (bytes == 0) break;
        allow(hosting_->limits.stall_time);
        error_code error;
        auto waiting =
            socket_.async_wait(Socket::wait_write, asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(waiting);
        deadline = SteadyTime::max();
        if (error || !socket_.is_open()) co_return false;
    }
    co_return true;
}

}  // namespace lxmgr::rest
