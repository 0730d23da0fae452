#include "lxmgr/loop.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <list>

#include "lxmgr/http.h"

namespace lxmgr::cli {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using Socket = asio::local::stream_protocol::socket;
using ErrorCode = boost::system::error_code;

namespace {

constexpr std::size_t kMaxMessageBytes = std::size_t{16} << 20;

class BeastSocket final : public WebSocket, public std::enable_shared_from_this<BeastSocket> {
public:
    BeastSocket(Socket socket, SocketEvents events) : stream_(std::move(socket)), events_(std::move(events)) {
        stream_.read_message_max(kMaxMessageBytes);
        stream_.auto_fragment(false);
    }

    Result<> handshake(const std::string& target) {
        ErrorCode error;
        websocket::response_type answer;
        stream_.handshake(answer, "unix.socket", target, error);
        if (!error) return {};
        const auto status = static_cast<Status>(answer.result_int());
        if (error == websocket::error::upgrade_declined) {
            return fail(status, fmt::format("The daemon refused a websocket on {} (HTTP status {})", target,
                                            answer.result_int()));
        }
        return fail(Status::unavailable,
                    fmt::format("The lxmgr daemon closed the connection ({})", error.message()));
    }

    void start() { read(); }

    void send_binary(std::string bytes, std::function<void()> sent) override {
        queue({std::move(bytes), true, std::move(sent)});
    }
    void send_text(std::string text) override { queue({std::move(text), false, {}}); }
    void close() override {
        closing_ = true;
        if (queue_.empty()) start_close();
    }

private:
    struct Message {
        std::string data;
        bool binary;
        std::function<void()> sent;
    };

    void queue(Message message) {
        if (gone_ || closing_) return;
        queue_.push_back(std::move(message));
        if (queue_.size() == 1) write();
    }

    void write() {
        const Message& message = queue_.front();
        stream_.binary(message.binary);
        stream_.async_write(
            asio::buffer(message.data),
            [self = shared_from_this()](ErrorCode error, std::size_t) { self->written(error); });
    }

    void written(ErrorCode error) {
        const Message message = std::move(queue_.front());
        queue_.pop_front();
        if (error) return;  // the read side sees the loss too, and tells
        if (!queue_.empty()) {
            write();
        } else if (closing_) {
            start_close();
        }
        if (message.sent) message.sent();
    }

    void start_close() {
        if (gone_) return;
        stream_.async_close(websocket::close_code::normal,
                            [self = shared_from_this()](ErrorCode) { self->gone(); });
    }

    void read() {
        stream_.async_read(buffer_, [self = shared_from_this()](ErrorCode error, std::size_t) {
            if (error) return self->gone();
            self->deliver();
            self->read();
        });
    }

    void deliver() {
        const auto data = buffer_.cdata();
        const std::string_view view(static_cast<const char*>(data.data()), data.size());
        const auto& handler = stream_.got_text() ? events_.text : events_.binary;
        if (handler) handler(view);
        buffer_.clear();
    }

    void gone() {
        if (std::exchange(gone_, true)) return;
        if (events_.closed) events_.closed();
    }

    websocket::stream<Socket, false> stream_;
    SocketEvents events_;
    boost::beast::flat_buffer buffer_;
    std::deque<Message> queue_;
    bool closing_ = false;
    bool gone_ = false;
};

/// One request and its answer.
struct Fetch {
    explicit Fetch(Socket s) : socket(std::move(s)) { response.body_limit(boost::none); }
    Socket socket;
    http::request<http::empty_body> request;
    http::response_parser<http::string_body> response;
    boost::beast::flat_buffer buffer;
};

struct SignalWatch {
    SignalWatch(asio::io_context& io, int signal, std::function<void(int)> f)
        : set(io, signal), arrived(std::move(f)) {}
    void wait() {
        set.async_wait([this](ErrorCode error, int signal) {
            if (error) return;
            arrived(signal);
            wait();
        });
    }
    asio::signal_set set;
    std::function<void(int)> arrived;
};

}  // namespace

struct Loop::Impl {
    Result<Socket> connect() {
        Socket socket(io);
        LX_TRY_AS(UniqueFd connected, connect_to(server));
        socket.assign(asio::local::stream_protocol(), connected.release());
        return socket;
    }

    asio::io_context io{1};
    Server server;
    std::list<std::shared_ptr<BeastSocket>> sockets;
    std::list<SignalWatch> signals;
};

Loop::Loop(Server server) : impl_(std::make_unique<Impl>()) { impl_->server = std::move(server); }
Loop::~Loop() = default;

Result<WebSocket*> Loop::connect(const std::string& target, SocketEvents events) {
    LX_TRY_AS(Socket socket, impl_->connect());
    auto result = std::make_shared<BeastSocket>(std::move(socket), std::move(events));
    LX_TRY(result->handshake(target));
    impl_->sockets.push_back(result);
    result->start();
    return result.get();
}

Result<> Loop::request(std::string_view method, const std::string& target,
                       std::function<void(Result<std::string>)> done) {
    LX_TRY_AS(Socket socket, impl_->connect());
    auto fetch = std::make_shared<Fetch>(std::move(socket));
    fetch->request.version(11);
    fetch->request.method_string({method.data(), method.size()});
    fetch->request.target(target);
    fetch->request.set(http::field::host, "unix.socket");
    fetch->request.prepare_payload();
    ErrorCode error;
    http::write(fetch->socket, fetch->request,
                error);  // a few hundred bytes: always fits the socket's buffer
    auto finish = [fetch, done = std::move(done)](ErrorCode failed, std::size_t) {
        if (!failed) return done(fetch->response.release().body());
        done(fail(Status::unavailable,
                  fmt::format("The lxmgr daemon closed the connection ({})", failed.message())));
    };
    http::async_read(fetch->socket, fetch->buffer, fetch->response, std::move(finish));
    return {};
}

void Loop::when_readable(int fd, std::function<void()> ready) {
    auto descriptor = std::make_shared<asio::posix::stream_descriptor>(impl_->io);
    ErrorCode error;
    const int copy = ::dup(fd);  // asio closes what it watches
    if (copy >= 0) descriptor->assign(copy, error);
    // epoll refuses regular files and /dev/null, which are always readable; so does reading say what is wrong
    // with others.
    if (copy < 0 || error) return asio::post(impl_->io, std::move(ready));
    descriptor->async_wait(asio::posix::stream_descriptor::wait_read,
                           [descriptor, ready = std::move(ready)](ErrorCode failed) {
                               if (failed != asio::error::operation_aborted) ready();
                           });
}

void Loop::on_signal(int signal, std::function<void(int)> arrived) {
    impl_->signals.emplace_back(impl_->io, signal, std::move(arrived));
    impl_->signals.back().wait();
}

void Loop::after(std::chrono::milliseconds delay, std::function<void()> elapsed) {
    auto timer = std::make_shared<asio::steady_timer>(impl_->io, delay);
    timer->async_wait([timer, elapsed = std::move(elapsed)](ErrorCode error) {
        if (!error) elapsed();
    });
}

void Loop::run() {
    impl_->io.restart();
    impl_->io.run();
}
void Loop::stop() { impl_->io.stop(); }

}  // namespace lxmgr::cli
