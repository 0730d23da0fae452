#include "lxd-daemon/rest/session.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <map>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/authorise.h"
#include "lxd-daemon/rest/cross_origin.h"
#include "lxd-daemon/rest/history.h"
#include "lxd-daemon/rest/identify.h"
#include "lxd-daemon/rest/image_tokens.h"
#include "lxd-daemon/rest/projects.h"
#include "lxd-daemon/rest/request_log.h"
#include "lxd-daemon/rest/server_info.h"
#include "lxd-daemon/rest/target.h"
#include "lxd-daemon/rest/websocket.h"

namespace lxmgr::rest {
namespace {

std::optional<Verb> to_verb(http::verb verb) {
    switch (verb) {
        case http::verb::get:
            return Verb::get;
        case http::verb::head:
            return Verb::head;
        case http::verb::post:
            return Verb::post;
        case http::verb::put:
            return Verb::put;
        case http::verb::patch:
            return Verb::patch;
        case http::verb::delete_:
            return Verb::del;
        default:
            return std::nullopt;
    }
}

unsigned peer_uid(Socket& socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return ~0U;
    return peer.uid;
}

}  // namespace

void Session::on_hangup(std::function<void()> callback) {
    hangup_ = std::move(callback);
    // EPOLLHUP and EPOLLERR complete this wait; data of a next request does not.
    auto notice = [self = shared_from_this()](const error_code& error) {
        if (!error && self->hangup_) std::exchange(self->hangup_, nullptr)();
    };
    socket_.async_wait(Socket::wait_error, std::move(notice));
    // A socket pair does not hang up by itself: the tunnel tells.
    if (!remote_) return;
    remote_->on_gone = [session = weak_from_this()] {
        const auto self = session.lock();
        if (self && self->hangup_) std::exchange(self->hangup_, nullptr)();
    };
    if (remote_->gone) asio::post(hosting_->services.io, remote_->on_gone);
}

asio::awaitable<Session::Head> Session::read_head() {
    parser_.emplace();
    body_received_ = false;
    streamed_ = false;
    recheck_ = nullptr;
    if (std::exchange(piece_, kReadBytes) != kReadBytes && in_at_ == in_.size()) {
        in_ = {};  // a kept connection stays small
        in_at_ = 0;
    }
    plain_left_ = 0;
    parser_->header_limit(static_cast<std::uint32_t>(hosting_->limits.max_head_bytes));
    parser_->body_limit(boost::none);
    // Bytes of a pipelined request are a begun request.
    idle = in_at_ == in_.size();
    idle_since = std::chrono::steady_clock::now();
    deadline = idle_since + (idle ? hosting_->limits.idle_time : hosting_->limits.header_time);
    for (;;) {
        if (in_at_ < in_.size()) {
            error_code error;
            in_at_ += parser_->put(asio::buffer(in_.data() + in_at_, in_.size() - in_at_), error);
            if (error && error != http::error::need_more) co_return Head::malformed;
            if (parser_->is_header_done()) break;
        }
        if (idle && hosting_->draining) co_return Head::closed;
        auto pending = read_more(kReadBytes);
        if (!co_await std::move(pending)) co_return Head::closed;
        if (std::exchange(idle, false)) allow(hosting_->limits.header_time);
    }
    deadline = SteadyTime::max();
    keep_alive_ = parser_->keep_alive();
    co_return Head::ready;
}

void Session::fill_request(Request& request) {
    for (const auto& field : parser_->get()) {
        request.headers.emplace_back(to_lower(field.name_string()), field.value());
    }
    request.content_type = request.header("content-type").value_or("");
    request.requestor_json = requestor_json_;
    request.guest = hosting_->guest;
    request.identity = identify();
    request.remote = remote_.get();
    request.peer = this;
    current_ = &request;
    if (parser_->upgrade()) {
        protocol_ = to_lower(trim(request.header("upgrade").value_or("")));
        request.upgrade = this;
    }
}

asio::awaitable<Result<Response>> Session::handle(Request& request) {
    const auto verb = to_verb(parser_->get().method());
    LX_CO_TRY_AS(Target target, parse_target(parser_->get().target()));
    request.old_names = rewrite_alias(target.segments);
    request.query = std::move(target.query);
    fill_request(request);
    auto match = hosting_->router.find(verb.value_or(Verb::get), target.segments);
    if (!verb) match.route = nullptr;
    request.verb = verb.value_or(Verb::get);
    for (const auto& segment : target.segments) request.path.append("/").append(segment);
    if (request.path.empty()) request.path = "/";
    // A browser asks before it sends what a page of another site wants; it shows no certificate with that.
    const bool asks_first =
        remote_ && !remote_->metrics_only && parser_->get().method() == http::verb::options;
    if (asks_first && is_allowed_origin(request, hosting_->services.server))
        co_return Response::raw("", "text/plain");
    LX_CO_TRY(check_access(request, match));
    tell_of_request(hosting_->services.hub, request, parser_->get().method_string(), parser_->get().target());
    request.args = std::move(match.args);
    LX_CO_TRY(enter_project(request, *match.route, hosting_->services));
    auto reading = read_body(request, *match.route);
    LX_CO_TRY(co_await std::move(reading));
    // What a PATCH merges into, and what a PUT is compared with, must not change until it has.
    std::shared_ptr<void> turn;
    if (request.verb == Verb::put || request.verb == Verb::patch) {
        auto queueing = hosting_->services.object_changes.take(request.guest + request.path);
        turn = co_await std::move(queueing);
    }
    LX_CO_TRY(check_again(request, match));
    recheck_ = [this, &request, &match] { return check_again(request, match); };
    auto pending = match.route->handler(request, hosting_->services);
    co_return co_await std::move(pending);
}

/// Guests get a plain sentence, as LXD's do.
Response Session::refusal(const Error& error) const {
    if (hosting_->guest.empty()) return Response::error(error);
    auto response = Response::raw(error.message + "\n", "text/plain; charset=utf-8");
    response.http_status = static_cast<int>(error.status);
    return response;
}

asio::awaitable<Response> Session::answer(Request& request) {
    try {
        auto pending = handle(request);
        Result<Response> result = co_await std::move(pending);
        if (result) co_return std::move(*result);
        Error error = std::move(result).error();
        error.message = api::with_plain_names(std::move(error.message), request.project);
        co_return refusal(error);
    } catch (const std::exception& bug) {
        log::error("exception in a request", {{"path", request.path}, {"what", bug.what()}});
    }
    co_return refusal({Status::internal, "Internal error, see the daemon's log"});
}

/// False: the connection is over.
asio::awaitable<bool> Session::serve_one() {
    auto reading = read_head();
    const Head head = co_await std::move(reading);
    if (head == Head::closed) co_return false;
    Response response;
    Request request;
    bool head_only = false;
    if (head == Head::malformed) {
        keep_alive_ = false;
        response = refusal({Status::bad_request, "Malformed HTTP request"});
    } else {
        auto pacing = pace(hosting_);
        co_await std::move(pacing);
        head_only = parser_->get().method() == http::verb::head;
        auto pending = answer(request);
        response = co_await std::move(pending);
        current_ = nullptr;
        auto* history = hosting_->services.history;
        if (remote_) {
            for (auto& header : cross_origin_headers(request, hosting_->services.server))
                response.headers.push_back(std::move(header));
        }
        if (history != nullptr) history->note(request, parser_->get().method_string(), response);
        if (response.upgraded) co_return false;
        error_code ignored;  // the client may have gone meanwhile
        if (std::exchange(hangup_, nullptr)) socket_.cancel(ignored);
        skip_buffered_body();
    }
    const bool unread = head == Head::malformed || !body_done();
    if (unread) keep_alive_ = false;
    if (hosting_->draining) keep_alive_ = false;
    auto writing = write_response(std::move(response), head_only);
    const bool written = co_await std::move(writing);
    if (written && unread) {
        auto lingering = linger();
        co_await std::move(lingering);
    }
    if (written && keep_alive_) stay_awake(hosting_);
    co_return written&& keep_alive_;
}

/// Asked with every request: trust may have ended since the last one.
auth::Identity Session::identify() const {
    auth::Identity out;
    if (remote_) {
        out = identify_remote(hosting_->services.database->certificates(), *remote_);
        out.address = remote_->host;
    } else {
        out.who = hosting_->guest.empty() ? auth::Who::local : auth::Who::guest;
    }
    return out;
}

Result<> Session::check_access(const Request& request, const Router::Match& match) const {
    const auto* server = hosting_->services.server;
    const bool for_metrics = match.route != nullptr && match.route->access == Access::metrics;
    if (remote_) {
        if (!is_allowed_origin(request, server)) LX_TRY(refuse_other_sites(request));
        if (remote_->metrics_only && !for_metrics) return fail(Status::not_found, "not found");
    }
    // Asked before the body is taken.
    if (match.route != nullptr && match.route->access == Access::can_push &&
        find_upload_token(hosting_->services.operations, request))
        return {};
    return authorise(request, match, for_metrics && server != nullptr && server->metrics_are_open());
}

/// A client may let its body wait until its rights or its project are gone.
Result<> Session::check_again(Request& request, const Router::Match& match) const {
    if (request.verb == Verb::get || request.verb == Verb::head) return {};
    request.identity = identify();
    LX_TRY(check_access(request, match));
    auto* database = hosting_->services.database;
    if (request.project == api::kDefaultProject || database == nullptr ||
        database->projects().find(request.project))
        return {};
    return fail(Status::not_found, "Project '" + request.project + "' not found");
}

asio::awaitable<void> Session::know_requestor() {
    if (!hosting_->guest.empty()) co_return;
    if (remote_) {
        const std::string name = remote_->certificate ? remote_->certificate->fingerprint : "";
        requestor_json_ =
            nlohmann::json{{"username", name}, {"protocol", "tls"}, {"address", remote_->address}}.dump();
        co_return;
    }
    static std::map<unsigned, std::string> known;  // I/O thread only; as many as there are users on the host
    const unsigned uid = peer_uid(socket_);
    if (!known.contains(uid)) {
        auto ask = [uid] { return describe_unix_peer(uid); };
        auto asking = on_worker(hosting_->services, std::move(ask));
        std::string description = co_await std::move(asking);
        known.emplace(uid, std::move(description));
    }
    requestor_json_ = known.at(uid);
}

asio::awaitable<void> Session::run(std::shared_ptr<Session> self) {
    try {
        auto asking = self->know_requestor();
        co_await std::move(asking);
        for (bool go_on = true; go_on;) {
            auto pending = self->serve_one();
            go_on = co_await std::move(pending);
        }
    } catch (const std::exception& bug) {
        log::error("exception in a connection", {{"what", bug.what()}});
    }
    self->abort();
}

asio::awaitable<Result<std::shared_ptr<Websocket>>> Session::accept_websocket() {
    if (protocol_ != "websocket" || current_ == nullptr)
        co_return fail(Status::bad_request, "Not a websocket request");
    if (in_at_ < in_.size())
        co_return fail(Status::bad_request, "Data came before the websocket was accepted");
    deadline = SteadyTime::max();
    LX_CO_TRY_AS(auto lease, take_lease(hosting_));
    auto pending = Websocket::accept(socket_, *current_, std::move(lease));
    co_return co_await std::move(pending);
}

asio::awaitable<Result<UniqueFd>> Session::accept_raw(std::string protocol) {
    if (protocol_ != protocol) co_return fail(Status::bad_request, "The request asks for another protocol");
    if (in_at_ < in_.size()) co_return fail(Status::bad_request, "Data came before the upgrade was accepted");
    const auto head = fmt::format(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {}\r\n\r\n", protocol);
    auto pending = write_all(head, "");
    if (!co_await std::move(pending)) co_return fail(Status::unavailable, "The client has gone");
    error_code error;
    UniqueFd fd(socket_.release(error));
    if (error) co_return fail(Status::internal, "Cannot hand the connection over: " + error.message());
    co_return fd;
}

std::string describe_unix_peer(unsigned uid) {
    std::array<char, 4096> buffer;
    passwd entry{};
    passwd* found = nullptr;
    ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
    const std::string name = found != nullptr ? found->pw_name : fmt::format("{}", uid);
    return nlohmann::json{{"username", name}, {"protocol", "unix"}, {"address", "@"}}.dump(
        -1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void start_connection(std::shared_ptr<Hosting> hosting, Socket socket, std::shared_ptr<Remote> remote) {
    auto& io = hosting->services.io;
    auto session = std::make_shared<Session>(std::move(hosting), std::move(socket), std::move(remote));
    asio::co_spawn(io, Session::run(std::move(session)), asio::detached);
}

}  // namespace lxmgr::rest
