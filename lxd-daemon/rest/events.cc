#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <mutex>
#include <optional>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/upgrade.h"
#include "lxd-daemon/rest/websocket.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
using Frame = std::shared_ptr<const std::string>;

/// What a listener may be behind before it is cut off. A client that was dropped knows that it missed
/// something.
constexpr std::size_t kMaxFrames = 8192;
constexpr std::size_t kMaxBytes = std::size_t{8} << 20;

/// One client's stream: filled by any thread, emptied by the I/O thread.
class Stream : public std::enable_shared_from_this<Stream> {
public:
    explicit Stream(asio::io_context& io) : io_(io), change_(io, asio::steady_timer::time_point::max()) {}

    void push(const Frame& frame) {
        const std::lock_guard lock(mutex_);
        if (overflown_) return;
        queue_.push_back(frame);
        bytes_ += frame->size();
        overflown_ = queue_.size() > kMaxFrames || bytes_ > kMaxBytes;
        if (overflown_) queue_.clear();
        if (!std::exchange(woken_, true)) {
            asio::post(io_, [self = shared_from_this()] { self->wake(); });
        }
    }

    /// Begins to keep events. Before the client learns that its websocket stands: then it misses none.
    void subscribe(events::Hub& hub, unsigned kinds, std::string project) {
        auto listener = [self = shared_from_this(),
                         project = std::move(project)](const events::Event& event) {
            if (project.empty() || event.project.empty() || event.project == project) self->push(event.text);
        };
        subscription_.emplace(hub.subscribe(kinds, std::move(listener)));
    }
    void unsubscribe() { subscription_.reset(); }

    void start(std::shared_ptr<Websocket> socket) {
        socket_ = std::move(socket);
        asio::co_spawn(io_, write_loop(shared_from_this()), asio::detached);
        asio::co_spawn(io_, read_loop(shared_from_this()), asio::detached);
    }

private:
    void wake() {
        {
            const std::lock_guard lock(mutex_);
            woken_ = false;
            if (overflown_ && socket_) socket_->abort();  // ends a write to a client that does not read
        }
        change_.cancel();
    }

    std::optional<std::deque<Frame>> take() {
        const std::lock_guard lock(mutex_);
        if (overflown_) return std::nullopt;
        bytes_ = 0;
        return std::exchange(queue_, {});
    }

    static asio::awaitable<void> write_loop(std::shared_ptr<Stream> self) {
        while (self->socket_->is_open()) {
            const auto frames = self->take();
            if (!frames) break;
            for (const auto& frame : *frames) {
                auto writing = self->socket_->write(*frame, /*text=*/true);
                if (!co_await std::move(writing)) break;
            }
            if (!frames->empty()) continue;
            boost::system::error_code error;
            auto wait = self->change_.async_wait(asio::redirect_error(asio::use_awaitable, error));
            co_await std::move(wait);
        }
        self->unsubscribe();
        self->socket_->abort();
    }

    /// Clients say nothing here; reading is what notices that they have gone.
    static asio::awaitable<void> read_loop(std::shared_ptr<Stream> self) {
        for (;;) {
            std::array<char, 512> buffer;
            auto reading = self->socket_->read(buffer);
            if (!co_await std::move(reading)) break;
        }
        self->change_.cancel();
    }

    asio::io_context& io_;
    std::shared_ptr<Websocket> socket_;
    asio::steady_timer change_;
    std::optional<events::Hub::Subscription> subscription_;
    std::mutex mutex_;
    std::deque<Frame> queue_;
    std::size_t bytes_ = 0;
    bool overflown_ = false;
    bool woken_ = false;
};

Result<unsigned> parse_kinds(const std::string& text) {
    using events::Kind;
    unsigned kinds = 0;
    for (const auto& name : split(text, ',')) {
        if (name == "operation") {
            kinds |= static_cast<unsigned>(Kind::operation);
        } else if (name == "lifecycle") {
            kinds |= static_cast<unsigned>(Kind::lifecycle);
        } else if (name == "logging") {
            kinds |= static_cast<unsigned>(Kind::logging);
        } else {
            return fail(Status::bad_request, "'" + name + "' is not an event type");
        }
    }
    return kinds;
}

Handled events_get(const Request& request, Services& services) {
    const std::string types = request.query_or("type", "");
    LX_CO_TRY_AS(const unsigned kinds, parse_kinds(types.empty() ? "operation,lifecycle,logging" : types));
    const bool all_projects = request.query_or("all-projects", "false") == "true";
    if (!all_projects) LX_CO_TRY(check_project(request));
    if (request.upgrade == nullptr) co_return fail(Status::bad_request, "Only websockets are served here");
    auto stream = std::make_shared<Stream>(services.io);
    stream->subscribe(services.hub, kinds, all_projects ? "" : "default");
    auto accepting = request.upgrade->accept_websocket();
    auto socket = co_await std::move(accepting);
    if (!socket) {
        stream->unsubscribe();
        co_return std::unexpected(std::move(socket).error());
    }
    stream->start(std::move(*socket));
    co_return Response::upgrade_done();
}

constexpr Route kRoutes[] = {
    {Verb::get, "/1.0/events", Access::authenticated, events_get},
};

}  // namespace

std::span<const Route> event_routes() { return kRoutes; }

}  // namespace lxmgr::rest
