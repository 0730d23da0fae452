#include "lxd-daemon/rest/websocket.h"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <optional>
#include <sstream>

#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

constexpr std::chrono::seconds kPingInterval{10};
constexpr std::chrono::seconds kCloseTime{10};

std::unexpected<Error> ended(const error_code& error) {
    return fail(Status::unavailable, "The websocket has ended: " + error.message());
}

/// The stream as Beast sees it. Only its teardown differs: Beast's own waits after the close frames until the
/// client closes too, for ever if it does not.
template <typename Stream>
class Wire : public Stream {
public:
    explicit Wire(Stream&& stream) : Stream(std::move(stream)) {}
};

void end_sending(Socket& socket) {
    error_code ignored;
    socket.shutdown(Socket::shutdown_send, ignored);
}
void end_sending(TlsStream& stream) { stream.end_sending(); }

template <typename Stream, typename Handler>
void async_teardown(beast::role_type, Wire<Stream>& wire, Handler&& handler) {
    end_sending(wire);
    asio::post(wire.get_executor(), beast::bind_front_handler(std::forward<Handler>(handler), error_code{}));
}

/// ws4py, below pylxd, reads the answer by 128 bytes, and of the frames that come with the last of them only
/// the first: a quick command's output was lost. So nothing comes with them.
void fill_up(websocket::response_type& answer) {
    constexpr std::size_t kUnit = 128;
    constexpr std::string_view kFiller = "X-Pad";
    answer.set(beast::http::field::server, "lxmgr");  // Beast would add its own after this
    answer.set(kFiller, "");
    std::ostringstream text;
    text << answer;
    answer.set(kFiller, std::string((kUnit - text.view().size() % kUnit) % kUnit, '-'));
}

template <typename Stream>
class BeastWebsocket final : public Websocket, public std::enable_shared_from_this<BeastWebsocket<Stream>> {
public:
    BeastWebsocket(Stream stream, Lease lease)
        : stream_(Wire<Stream>(std::move(stream))), timer_(stream_.get_executor()), lease_(std::move(lease)) {
        stream_.auto_fragment(false);
        stream_.read_message_max(0);  // data is taken in chunks; read_message() has a limit of its own
    }

    asio::awaitable<Result<Chunk>> read(std::span<char> buffer) override {
        error_code error;
        auto pending = stream_.async_read_some(asio::buffer(buffer.data(), buffer.size()),
                                               asio::redirect_error(asio::use_awaitable, error));
        const std::size_t size = co_await std::move(pending);
        if (error) {
            reading_failed(error);
            co_return ended(error);
        }
        co_return Chunk{size, stream_.got_text(), stream_.is_message_done()};
    }

    asio::awaitable<Result<>> write(std::string_view bytes, bool text) override {
        error_code error;
        stream_.text(text);
        auto pending = stream_.async_write(asio::buffer(bytes.data(), bytes.size()),
                                           asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(pending);
        if (error) {
            writing_failed(error);
            co_return ended(error);
        }
        co_return Result<>{};
    }

    void close() override {
        if (closing_ || aborted_) return;
        stop();
        asio::co_spawn(stream_.get_executor(), say_goodbye(this->shared_from_this()), asio::detached);
    }

    void abort() override {
        if (std::exchange(aborted_, true)) return;
        timer_.cancel();
        goodbye_timer_.reset();
        error_code ignored;
        beast::get_lowest_layer(stream_).close(ignored);
    }

    [[nodiscard]] bool is_open() const override { return !aborted_ && !closing_; }

    static asio::awaitable<Result<>> shake_hands(std::shared_ptr<BeastWebsocket> self,
                                                 beast::http::request<beast::http::empty_body> request) {
        error_code error;
        self->stream_.set_option(websocket::stream_base::decorator(fill_up));
        auto pending = self->stream_.async_accept(request, asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(pending);
        if (error) co_return fail(Status::bad_request, "Bad websocket handshake: " + error.message());
        asio::co_spawn(self->stream_.get_executor(), keep_alive(self), asio::detached);
        co_return Result<>{};
    }

    static asio::awaitable<Result<>> ask(std::shared_ptr<BeastWebsocket> self, std::string host,
                                         std::string target) {
        error_code error;
        websocket::response_type answer;
        self->stream_.set_option(websocket::stream_base::timeout::suggested(beast::role_type::client));
        auto pending = self->stream_.async_handshake(answer, host, target,
                                                     asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(pending);
        self->stream_.set_option(websocket::stream_base::timeout{websocket::stream_base::none(),
                                                                 websocket::stream_base::none(), false});
        if (error == websocket::error::upgrade_declined)
            co_return fail(Status::bad_request, "The other server does not open the websocket: " +
                                                    std::to_string(answer.result_int()));
        if (error) co_return fail(Status::bad_request, "Websocket handshake: " + error.message());
        asio::co_spawn(self->stream_.get_executor(), keep_alive(self), asio::detached);
        co_return Result<>{};
    }

private:
    /// Nothing is begun any more, and all is over within kCloseTime.
    void stop() {
        if (std::exchange(closing_, true)) return;
        timer_.cancel();
        asio::co_spawn(stream_.get_executor(), abort_later(this->shared_from_this()), asio::detached);
    }

    /// Nothing more will come, whatever the error; once goodbye is said, whoever says it sees to the end.
    void reading_failed(const error_code& error) {
        if (error == websocket::error::closed) return leave();
        if (!closing_) abort();
    }

    /// operation_aborted: the peer's close frame has come, or a read has failed. The reader is about to say
    /// which.
    void writing_failed(const error_code& error) {
        if (!closing_ && error != asio::error::operation_aborted) abort();
    }

    /// Both have said goodbye. The peer may not have read all yet, and may answer a ping that it finds on its
    /// way: to a closed socket it could not, and would give up before the rest. So sending has ended, and
    /// what the peer still says is dropped until it closes (RFC 6455, 7.1.1).
    void leave() {
        stop();
        if (aborted_ || std::exchange(leaving_, true)) return;
        asio::co_spawn(stream_.get_executor(), drain(this->shared_from_this()), asio::detached);
    }

    static asio::awaitable<void> drain(std::shared_ptr<BeastWebsocket> self) {
        std::array<char, 512> dropped;
        error_code error;
        while (!error) {
            auto reading = self->stream_.next_layer().async_read_some(
                asio::buffer(dropped), asio::redirect_error(asio::use_awaitable, error));
            co_await std::move(reading);
        }
        self->abort();
    }

    static asio::awaitable<void> keep_alive(std::shared_ptr<BeastWebsocket> self) {
        while (self->is_open()) {
            error_code error;
            auto ping = self->stream_.async_ping(websocket::ping_data("keepalive"),
                                                 asio::redirect_error(asio::use_awaitable, error));
            co_await std::move(ping);
            if (error) co_return self->writing_failed(error);
            if (!self->is_open()) co_return;
            self->timer_.expires_after(kPingInterval);
            auto wait = self->timer_.async_wait(asio::redirect_error(asio::use_awaitable, error));
            co_await std::move(wait);
        }
    }

    static asio::awaitable<void> say_goodbye(std::shared_ptr<BeastWebsocket> self) {
        error_code error;
        auto pending = self->stream_.async_close(websocket::close_code::normal,
                                                 asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(pending);
        if (!error) co_return self->leave();
        if (self->leaving_) co_return;
        self->abort();
    }

    static asio::awaitable<void> abort_later(std::shared_ptr<BeastWebsocket> self) {
        if (self->aborted_) co_return;
        self->goodbye_timer_.emplace(self->stream_.get_executor(), kCloseTime);
        error_code error;
        auto wait = self->goodbye_timer_->async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
        self->abort();
    }

    websocket::stream<Wire<Stream>, /*deflateSupported=*/false> stream_;
    asio::steady_timer timer_;
    std::optional<asio::steady_timer> goodbye_timer_;
    Lease lease_;
    bool closing_ = false;
    bool leaving_ = false;
    bool aborted_ = false;
};

}  // namespace

asio::awaitable<Result<std::shared_ptr<Websocket>>> Websocket::accept(Socket& socket, const Request& request,
                                                                      Lease lease) {
    beast::http::request<beast::http::empty_body> handshake(beast::http::verb::get, "/", 11);
    for (const auto& [name, value] : request.headers) {
        if (name == "host" || name == "connection" || name == "upgrade" ||
            name.starts_with("sec-websocket-")) {
            handshake.insert(name, value);
        }
    }
    // Checked before the socket is given away: an ordinary answer can still be sent.
    const auto version = request.header("sec-websocket-version");
    if (!websocket::is_upgrade(handshake) || version != "13" || !request.header("sec-websocket-key")) {
        co_return fail(Status::bad_request, "Bad websocket handshake");
    }
    auto stream = std::make_shared<BeastWebsocket<Socket>>(std::move(socket), std::move(lease));
    auto pending = BeastWebsocket<Socket>::shake_hands(stream, std::move(handshake));
    LX_CO_TRY(co_await std::move(pending));
    co_return std::shared_ptr<Websocket>(std::move(stream));
}

asio::awaitable<Result<std::shared_ptr<Websocket>>> Websocket::connect(TlsStream tls, std::string host,
                                                                       std::string target) {
    auto stream = std::make_shared<BeastWebsocket<TlsStream>>(std::move(tls), Lease{});
    auto pending = BeastWebsocket<TlsStream>::ask(stream, std::move(host), std::move(target));
    LX_CO_TRY(co_await std::move(pending));
    co_return std::shared_ptr<Websocket>(std::move(stream));
}

asio::awaitable<Result<std::string>> Websocket::read_message(std::size_t max_bytes) {
    std::string message;
    for (;;) {
        std::array<char, 4096> buffer;
        auto pending = read(buffer);
        LX_CO_TRY_AS(const Chunk chunk, co_await std::move(pending));
        message.append(buffer.data(), chunk.size);
        if (message.size() > max_bytes) {
            abort();
            co_return fail(Status::too_large, "A websocket message is too long");
        }
        if (chunk.message_end) co_return message;
    }
}

}  // namespace lxmgr::rest
