#include "lxd-daemon/rest/migration_link.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <vector>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/migration/messages.h"
#include "lxd-daemon/rest/https/dial.h"
#include "lxd-daemon/rest/on_worker.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using LinkEnd = asio::posix::stream_descriptor;

/// LXD's time for the other side to come.
constexpr std::chrono::seconds kMeetingTime{10};
/// How often a blocked thread looks whether the I/O thread has ended.
constexpr std::chrono::milliseconds kLook{200};
constexpr std::size_t kStreamChunk = 131072;
/// What a peer may still take and send when our rsync has ended.
constexpr std::chrono::seconds kEndTime{60};
constexpr std::uint64_t kMaxDropped = std::uint64_t{64} << 20;

std::unexpected<Error> link_lost() {
    return fail(Status::unavailable, "The connection with the other server was lost");
}

/// Both directions of one carry(); I/O thread only.
struct Carrying {
    std::shared_ptr<LinkEnd> from, to;
    std::function<void(std::uint64_t)> progress;
    std::uint64_t sent = 0, received = 0, dropped = 0;
    std::optional<asio::steady_timer> limit;  ///< of the peer, once our rsync has ended
    int running = 2;
    bool lost = false;
};

class WebsocketLink final : public migration::Link, public std::enable_shared_from_this<WebsocketLink> {
public:
    WebsocketLink(Services& services, std::shared_ptr<Meeting> meeting, PeerToDial peer, ServerUrl url)
        : services_(services),
          io_(services.io),
          meeting_(std::move(meeting)),
          peer_(std::move(peer)),
          url_(std::move(url)),
          change_(io_) {}

    Result<> connect() override {
        return meeting_ ? wait_for(meet(shared_from_this())) : wait_for(dial(shared_from_this()));
    }
    Result<std::string> receive() override { return wait_for(next_message(shared_from_this())); }
    Result<> send(std::string message) override {
        return wait_for(say(shared_from_this(), std::move(message)));
    }
    void heed() override {
        asio::post(io_, [self = shared_from_this()] {
            self->heeding_ = true;
            asio::co_spawn(self->io_, listen(self), asio::detached);
        });
    }
    Result<> carry(UniqueFd from, UniqueFd to, std::function<void(std::uint64_t)> progress) override {
        auto carrying = std::make_shared<Carrying>();
        carrying->from = std::make_shared<LinkEnd>(io_, from.release());
        carrying->to = std::make_shared<LinkEnd>(io_, to.release());
        carrying->progress = std::move(progress);
        return wait_for(carry_both(shared_from_this(), std::move(carrying)));
    }
    void abort() override {
        asio::post(io_, [self = shared_from_this()] { self->end(); });
    }
    void close() override {
        asio::post(io_, [self = shared_from_this()] { self->say_goodbye(); });
    }

private:
    /// Runs it on the I/O thread. That may end meanwhile, at the daemon's stop.
    template <typename T>
    Result<T> wait_for(asio::awaitable<Result<T>> work) {
        auto done = std::make_shared<std::promise<Result<T>>>();
        auto result = done->get_future();
        asio::co_spawn(io_, std::move(work), [done](const std::exception_ptr& bug, Result<T> value) {
            done->set_value(bug ? Result<T>(fail(Status::internal, "Internal error, see the daemon's log"))
                                : std::move(value));
        });
        while (result.wait_for(kLook) != std::future_status::ready) {
            if (io_.stopped()) return fail(Status::unavailable, "The daemon is shutting down");
        }
        return result.get();
    }

    static asio::awaitable<Result<>> meet(std::shared_ptr<WebsocketLink> self);
    static asio::awaitable<Result<>> dial(std::shared_ptr<WebsocketLink> self);
    static asio::awaitable<Result<std::shared_ptr<Websocket>>> dial_one(std::shared_ptr<WebsocketLink> self,
                                                                        std::string secret);
    static asio::awaitable<Result<std::string>> next_message(std::shared_ptr<WebsocketLink> self);
    static asio::awaitable<Result<>> say(std::shared_ptr<WebsocketLink> self, std::string message);
    static asio::awaitable<void> listen(std::shared_ptr<WebsocketLink> self);
    static asio::awaitable<Result<>> carry_both(std::shared_ptr<WebsocketLink> self,
                                                std::shared_ptr<Carrying> carrying);
    static asio::awaitable<void> carry_out(std::shared_ptr<WebsocketLink> self,
                                           std::shared_ptr<Carrying> carrying);
    static asio::awaitable<void> carry_in(std::shared_ptr<WebsocketLink> self,
                                          std::shared_ptr<Carrying> carrying);
    static asio::awaitable<void> wait_change(std::shared_ptr<WebsocketLink> self);
    void finish_one(Carrying& carrying);
    /// Why the streams were ended, when the other side has said it.
    Result<> why_lost();
    void end();
    void say_goodbye();

    Services& services_;
    asio::io_context& io_;
    std::shared_ptr<Meeting> meeting_;  ///< null: dials
    PeerToDial peer_;
    ServerUrl url_;
    asio::steady_timer change_;
    std::shared_ptr<Websocket> control_, fs_;
    std::shared_ptr<Carrying> carrying_;
    bool ended_ = false, heeding_ = false;
    std::optional<Result<std::string>> heard_;
};

asio::awaitable<Result<>> WebsocketLink::meet(std::shared_ptr<WebsocketLink> self) {
    asio::steady_timer limit(self->io_, kMeetingTime);
    limit.async_wait([meeting = self->meeting_](error_code cancelled) {
        if (!cancelled) meeting->end();
    });
    auto all = self->meeting_->all_arrived(kMeetingTime);
    const bool there = co_await std::move(all);
    if (there) {
        auto coming = self->meeting_->control();
        self->control_ = co_await std::move(coming);
    }
    limit.cancel();
    if (self->ended_) co_return fail(Status::unavailable, "The migration was cancelled");
    if (!there || !self->control_)
        co_return fail(Status::bad_request, "Timed out waiting for migration connections");
    self->fs_ = self->meeting_->socket("fs");
    co_return Result<>{};
}

asio::awaitable<Result<std::shared_ptr<Websocket>>> WebsocketLink::dial_one(
    std::shared_ptr<WebsocketLink> self, std::string secret) {
    auto connect = [url = self->url_, reach = self->peer_.reach] { return dial_tcp(url, reach); };
    auto connecting = on_worker(self->services_, std::move(connect));
    LX_CO_TRY_AS(UniqueFd tcp, co_await std::move(connecting));
    if (self->ended_) co_return fail(Status::unavailable, "The migration was cancelled");
    auto shaking = dial_tls(self->io_, std::move(tcp), self->url_, self->peer_.where.certificate);
    LX_CO_TRY_AS(TlsStream stream, co_await std::move(shaking));
    if (self->ended_) co_return fail(Status::unavailable, "The migration was cancelled");
    const std::string target = self->url_.path + "/websocket?secret=" + url_encode(secret);
    auto asking = Websocket::connect(std::move(stream), self->url_.host, target);
    co_return co_await std::move(asking);
}

asio::awaitable<Result<>> WebsocketLink::dial(std::shared_ptr<WebsocketLink> self) {
    auto control = dial_one(self, self->peer_.where.secrets.at("control"));
    LX_CO_TRY_AS(self->control_, co_await std::move(control));
    auto fs = dial_one(self, self->peer_.where.secrets.at("fs"));
    LX_CO_TRY_AS(self->fs_, co_await std::move(fs));
    if (self->ended_) {
        self->end();  // what came after abort()
        co_return fail(Status::unavailable, "The migration was cancelled");
    }
    co_return Result<>{};
}

asio::awaitable<void> WebsocketLink::wait_change(std::shared_ptr<WebsocketLink> self) {
    error_code error;
    self->change_.expires_at(asio::steady_timer::time_point::max());
    auto wait = self->change_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    co_await std::move(wait);
}

asio::awaitable<Result<std::string>> WebsocketLink::next_message(std::shared_ptr<WebsocketLink> self) {
    while (self->heeding_ && !self->heard_ && !self->ended_) {
        auto waiting = wait_change(self);
        co_await std::move(waiting);
    }
    if (self->heard_) co_return *self->heard_;
    if (self->ended_) co_return link_lost();
    auto reading = self->control_->read_message(migration::kMaxControlBytes);
    auto got = co_await std::move(reading);
    if (!got) co_return link_lost();
    co_return got;
}

asio::awaitable<Result<>> WebsocketLink::say(std::shared_ptr<WebsocketLink> self, std::string message) {
    if (!self->control_ || self->ended_) co_return link_lost();
    auto writing = self->control_->write(message, /*text=*/false);
    const auto written = co_await std::move(writing);
    if (!written) co_return link_lost();
    co_return Result<>{};
}

asio::awaitable<void> WebsocketLink::listen(std::shared_ptr<WebsocketLink> self) {
    auto reading = self->control_->read_message(migration::kMaxControlBytes);
    auto got = co_await std::move(reading);
    if (!got) got = link_lost();
    self->heard_ = got;
    if (!self->why_lost() && self->carrying_) {
        error_code ignored;
        self->fs_->abort();
        self->carrying_->from->close(ignored);
        self->carrying_->to->close(ignored);
    }
    self->change_.cancel();
}

Result<> WebsocketLink::why_lost() {
    if (!heard_) return {};
    if (!*heard_) return std::unexpected(heard_->error());
    LX_TRY_AS(const auto verdict, migration::parse_verdict(**heard_));
    if (verdict.success) return {};
    return fail(Status::bad_request, "The other server says: " + verdict.message);
}

asio::awaitable<Result<>> WebsocketLink::carry_both(std::shared_ptr<WebsocketLink> self,
                                                    std::shared_ptr<Carrying> carrying) {
    LX_CO_TRY(self->why_lost());
    if (!self->fs_ || self->ended_) co_return link_lost();
    self->carrying_ = carrying;
    asio::co_spawn(self->io_, carry_out(self, carrying), asio::detached);
    asio::co_spawn(self->io_, carry_in(self, carrying), asio::detached);
    while (carrying->running > 0) {
        auto waiting = wait_change(self);
        co_await std::move(waiting);
    }
    self->carrying_.reset();
    LX_CO_TRY(self->why_lost());
    if (carrying->lost || self->ended_) co_return link_lost();
    co_return Result<>{};
}

void WebsocketLink::finish_one(Carrying& carrying) {
    if (--carrying.running > 0) return;
    carrying.limit.reset();
    change_.cancel();
}

asio::awaitable<void> WebsocketLink::carry_out(std::shared_ptr<WebsocketLink> self,
                                               std::shared_ptr<Carrying> carrying) {
    std::vector<char> chunk(kStreamChunk);
    for (;;) {
        error_code error;
        auto reading = carrying->from->async_read_some(asio::buffer(chunk),
                                                       asio::redirect_error(asio::use_awaitable, error));
        const std::size_t size = co_await std::move(reading);
        if (error) break;
        auto writing = self->fs_->write({chunk.data(), size}, /*text=*/false);
        if (!co_await std::move(writing)) {
            carrying->lost = true;
            break;
        }
        carrying->sent += size;
        if (carrying->progress) carrying->progress(std::max(carrying->sent, carrying->received));
    }
    error_code ignored;
    carrying->from->close(ignored);
    if (carrying->running > 1) {
        carrying->limit.emplace(self->io_, kEndTime);
        carrying->limit->async_wait([fs = self->fs_](error_code cancelled) {
            if (!cancelled) fs->abort();
        });
    }
    // An empty text message is the end of a stream.
    auto ending = self->fs_->write({}, /*text=*/true);
    if (!co_await std::move(ending)) carrying->lost = true;
    self->finish_one(*carrying);
}

asio::awaitable<void> WebsocketLink::carry_in(std::shared_ptr<WebsocketLink> self,
                                              std::shared_ptr<Carrying> carrying) {
    std::vector<char> chunk(kStreamChunk);
    for (bool message_start = true;;) {
        auto reading = self->fs_->read(chunk);
        const auto got = co_await std::move(reading);
        if (!got) {
            carrying->lost = true;
            break;
        }
        if (got->text && got->size == 0 && got->message_end && message_start) break;
        message_start = got->message_end;
        carrying->received += got->size;
        if (carrying->progress) carrying->progress(std::max(carrying->sent, carrying->received));
        if (!carrying->to->is_open()) {  // empty ones count, too
            carrying->dropped += got->size + 1;
            if (carrying->dropped > kMaxDropped) self->fs_->abort();
            continue;
        }
        error_code error;
        auto writing = asio::async_write(*carrying->to, asio::buffer(chunk.data(), got->size),
                                         asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(writing);
        if (error) carrying->to->close(error);  // rsync has ended; what still comes is dropped
    }
    error_code ignored;
    carrying->to->close(ignored);
    // Without the peer, nothing more is to be read from it.
    if (carrying->lost) carrying->from->close(ignored);
    self->finish_one(*carrying);
}

void WebsocketLink::end() {
    ended_ = true;
    if (meeting_) meeting_->close();
    if (control_) control_->abort();
    if (fs_) fs_->abort();
    if (carrying_) {
        error_code ignored;
        carrying_->from->close(ignored);
        carrying_->to->close(ignored);
    }
    change_.cancel();
}

void WebsocketLink::say_goodbye() {
    if (!control_ || !fs_) return end();
    ended_ = true;
    if (meeting_) meeting_->end();
    control_->close();
    fs_->close();
    change_.cancel();
}

}  // namespace

std::shared_ptr<migration::Link> meeting_link(Services& services, std::shared_ptr<Meeting> meeting) {
    return std::make_shared<WebsocketLink>(services, std::move(meeting), PeerToDial{}, ServerUrl{});
}

Result<std::shared_ptr<migration::Link>> dialling_link(Services& services, PeerToDial peer) {
    LX_TRY_AS(auto url, parse_server_url(peer.where.operation));
    return std::make_shared<WebsocketLink>(services, nullptr, std::move(peer), std::move(url));
}

}  // namespace lxmgr::rest
