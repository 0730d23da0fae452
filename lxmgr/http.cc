#include "lxmgr/http.h"

#include <fmt/format.h>
#include <poll.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace lxmgr::cli {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Socket = asio::local::stream_protocol::socket;
using ErrorCode = boost::system::error_code;

namespace {

constexpr std::size_t kHttpPieceBytes = std::size_t{256} << 10;

std::unexpected<Error> lost(const ErrorCode& error) {
    return fail(Status::unavailable,
                fmt::format("The lxmgr daemon closed the connection ({})", error.message()));
}

bool readable_now(Socket& socket) {
    pollfd poll{socket.native_handle(), POLLIN, 0};
    return ::poll(&poll, 1, 0) > 0;
}

}  // namespace

Result<std::string> HttpResponse::read_all(std::size_t max_bytes) {
    std::string body;
    std::array<char, 16384> buffer;
    for (;;) {
        LX_TRY_AS(const std::size_t n, read(buffer));
        if (n == 0) return body;
        if (body.size() + n > max_bytes) return fail(Status::too_large, "The daemon's answer is too large");
        body.append(buffer.data(), n);
    }
}

struct Http::Stream {
    asio::io_context io{1};
    Socket socket{io};
    boost::beast::flat_buffer buffer;
    bool clean = true;  ///< the last answer was read to its end and the connection may be used again
};

class Http::Response final : public HttpResponse {
public:
    Response(std::shared_ptr<Stream> stream, bool head_only)
        : stream_(std::move(stream)), head_only_(head_only) {
        stream_->clean = false;
    }

    Result<> read_head() {
        ErrorCode error;
        do {  // "100 Continue" and its like come before the answer proper
            parser_.emplace();
            parser_->body_limit(boost::none);
            parser_->skip(head_only_);
            http::read_header(stream_->socket, stream_->buffer, *parser_, error);
            if (error) return lost(error);
        } while (parser_->get().result_int() / 100 == 1);
        if (parser_->is_done()) finish();
        return {};
    }

    unsigned status() const override { return parser_->get().result_int(); }

    std::string header(std::string_view name) const override {
        const auto value = parser_->get()[boost::beast::string_view(name.data(), name.size())];
        return {value.data(), value.size()};
    }

    Result<std::size_t> read(std::span<char> buffer) override {
        auto& parser = *parser_;
        auto& body = parser.get().body();
        while (!parser.is_done()) {
            body.data = buffer.data();
            body.size = buffer.size();
            ErrorCode error;
            http::read_some(stream_->socket, stream_->buffer, parser, error);
            if (error && error != http::error::need_buffer) return lost(error);
            if (const std::size_t n = buffer.size() - body.size; n > 0) return n;
        }
        finish();
        return std::size_t{0};
    }

private:
    void finish() { stream_->clean = parser_->keep_alive(); }

    std::shared_ptr<Stream> stream_;
    std::optional<http::response_parser<http::buffer_body>> parser_;  ///< one cannot be used for two answers
    bool head_only_;
};

Http::Http(Server server) : server_(std::move(server)) {}
Http::Http(Http&&) noexcept = default;
Http::~Http() = default;

Result<> Http::ensure_connected() {
    // A connection that is readable between requests was closed by the daemon, or holds bytes nobody asked
    // for.
    if (stream_ && stream_->clean && !readable_now(stream_->socket)) return {};
    auto stream = std::make_shared<Stream>();
    LX_TRY_AS(UniqueFd connected, connect_to(server_));
    stream->socket.assign(asio::local::stream_protocol(), connected.release());
    stream_ = std::move(stream);
    return {};
}

std::string for_project(const std::string& target, const std::string& project) {
    if (project.empty() || target.contains("?project=") || target.contains("&project=")) return target;
    return fmt::format("{}{}project={}", target, target.contains('?') ? '&' : '?', project);
}

namespace {

template <typename Message>
void set_head(Message& message, const HttpRequest& request, const std::string& project) {
    message.version(11);
    message.method_string(request.method);
    message.target(for_project(request.target, project));
    message.set(http::field::host, "unix.socket");
    message.set(http::field::user_agent, "lxmgr " LXMGR_VERSION);
    for (const auto& [name, value] : request.headers) message.set(name, value);
}

/// Sends the pieces until the upload's end, or until the daemon answers early (which it does to refuse).
Result<> send_upload(Socket& socket, const HttpRequest& request, const std::string& project) {
    http::request<http::buffer_body> message;
    set_head(message, request, project);
    if (request.upload->size_bytes) {
        message.content_length(*request.upload->size_bytes);
    } else {
        message.chunked(true);
    }
    message.body().data = nullptr;
    message.body().more = true;
    http::request_serializer<http::buffer_body> serializer{message};
    ErrorCode error;
    http::write_header(socket, serializer, error);
    std::string piece(kHttpPieceBytes, '\0');
    while (!error && message.body().more && !readable_now(socket)) {
        LX_TRY_AS(const std::size_t n, request.upload->read(piece));
        message.body().data = n > 0 ? piece.data() : nullptr;
        message.body().size = n;
        message.body().more = n > 0;
        http::write(socket, serializer, error);
        if (error == http::error::need_buffer) error = {};
    }
    return {};  // after an error of ours the daemon's answer says more than the error
}

}  // namespace

Result<std::unique_ptr<HttpResponse>> Http::send(const HttpRequest& request) {
    LX_TRY(ensure_connected());
    if (request.upload != nullptr) {
        stream_->clean = false;
        LX_TRY(send_upload(stream_->socket, request, server_.project));
    } else {
        http::request<http::string_body> message;
        set_head(message, request, server_.project);
        message.body() = request.body;
        message.prepare_payload();
        ErrorCode error;
        http::write(stream_->socket, message, error);
        if (error) return lost(error);
    }
    auto response = std::make_unique<Response>(stream_, request.method == "HEAD");
    LX_TRY(response->read_head());
    return response;
}

Error connect_error(const std::string& socket_path, int error) {
    if (error == ECONNREFUSED || error == ENOENT) {
        return {
            Status::unavailable,
            fmt::format(
                "The lxmgr daemon is not running at {}; start it with 'lxmgrd' (or 'systemctl start lxmgr')",
                socket_path),
            error};
    }
    if (error == EACCES || error == EPERM) {
        return {Status::forbidden,
                fmt::format("You may not use {}; run this as root or join the group 'lxmgr'", socket_path),
                error};
    }
    errno = error;
    return fail_errno("connect", socket_path).error();
}

}  // namespace lxmgr::cli
