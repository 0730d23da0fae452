#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/rest/connection.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/router.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/upgrade.h"

/// Inside of the HTTP server: one client's connection. Heavy (Beast): for session*.cc only.
namespace lxmgr::rest {

class BodyStore;

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Parser = http::request_parser<http::buffer_body>;
inline constexpr std::size_t kReadBytes = 8192;  ///< of a head at a time

class Session final : public Connection,
                      public Upgrade,
                      public Peer,
                      public Incoming,
                      public std::enable_shared_from_this<Session> {
public:
    Session(std::shared_ptr<Hosting> hosting, Socket socket, std::shared_ptr<Remote> remote)
        : hosting_(std::move(hosting)), socket_(std::move(socket)), remote_(std::move(remote)) {
        hosting_->connections.push_front(this);
        place_ = hosting_->connections.begin();
    }
    ~Session() override { hosting_->connections.erase(place_); }

    static asio::awaitable<void> run(std::shared_ptr<Session> self);

    void abort() override {
        error_code ignored;
        socket_.close(ignored);
    }
    void on_hangup(std::function<void()> callback) override;
    [[nodiscard]] std::string_view protocol() const override { return protocol_; }
    asio::awaitable<Result<std::shared_ptr<Websocket>>> accept_websocket() override;
    asio::awaitable<Result<UniqueFd>> accept_raw(std::string protocol) override;
    [[nodiscard]] std::uint64_t incoming_bytes() const override {
        return parser_->content_length().value_or(0);
    }
    asio::awaitable<Result<std::size_t>> read_incoming(std::span<char> room) override;
    void stop_incoming() override;
    Result<> check_incoming() override { return recheck_ ? recheck_() : Result<>{}; }

private:
    enum class Head { ready, closed, malformed };
    asio::awaitable<bool> read_more(std::size_t most);
    asio::awaitable<Result<std::size_t>> read_plain(std::span<char> room);
    asio::awaitable<Head> read_head();
    asio::awaitable<bool> serve_one();
    asio::awaitable<Response> answer(Request& request);
    [[nodiscard]] Response refusal(const Error& error) const;
    asio::awaitable<Result<Response>> handle(Request& request);
    asio::awaitable<Result<std::size_t>> read_body_chunk(char* data, std::size_t size);
    asio::awaitable<Result<>> read_body(Request& request, const Route& route);
    asio::awaitable<Result<>> read_json_body(Request& request);
    asio::awaitable<Result<>> store_body(Request& request, const Route& route);
    asio::awaitable<Result<>> receive_body(std::shared_ptr<BodyStore> store, std::uint64_t bytes);
    asio::awaitable<bool> write_all(std::string_view head, std::string_view body);
    asio::awaitable<bool> write_response(Response response, bool head_only);
    asio::awaitable<bool> write_piece(Piece piece);
    asio::awaitable<bool> write_file(UniqueFd file, std::uint64_t bytes);
    asio::awaitable<void> know_requestor();
    [[nodiscard]] bool body_done() const { return body_received_ || parser_->is_done(); }
    void skip_buffered_body();
    asio::awaitable<void> linger();
    void fill_request(Request& request);
    [[nodiscard]] auth::Identity identify() const;
    Result<> check_access(const Request& request, const Router::Match& match) const;
    Result<> check_again(Request& request, const Router::Match& match) const;
    void allow(std::chrono::milliseconds time) { deadline = std::chrono::steady_clock::now() + time; }

    std::shared_ptr<Hosting> hosting_;
    Socket socket_;
    std::shared_ptr<Remote> remote_;  ///< null: no TLS
    std::list<Connection*>::iterator place_;
    std::optional<Parser> parser_;
    std::vector<char> in_;  ///< bytes [in_at_, in_.size()) are not parsed yet
    std::size_t in_at_ = 0;
    std::size_t piece_ = kReadBytes;  ///< how much is read at a time: more while a file comes
    bool keep_alive_ = true;
    bool body_received_ = false;         ///< beside the parser, which still waits for it
    std::uint64_t plain_left_ = 0;       ///< of a body that the parser is passed by with
    bool streamed_ = false;              ///< the body goes to a handler as it comes
    std::function<Result<>()> recheck_;  ///< null: that comes when the body is there
    std::string requestor_json_;
    const Request* current_ = nullptr;
    std::string protocol_;
    std::function<void()> hangup_;
};

}  // namespace lxmgr::rest
