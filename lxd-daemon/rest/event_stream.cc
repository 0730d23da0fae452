#include "lxd-daemon/rest/event_stream.h"

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace lxmgr::rest {

namespace asio = boost::asio;

namespace {

bool names(const EventScope& scope, const std::string& project) {
    return std::ranges::find(scope.projects, project) != scope.projects.end();
}

}  // namespace

EventStream::EventStream(asio::io_context& io, EventBacklog backlog)
    : io_(io), backlog_(backlog), change_(io, asio::steady_timer::time_point::max()) {}

void EventStream::push(const Frame& frame) {
    const std::lock_guard lock(mutex_);
    if (overflown_) return;
    queue_.push_back(frame);
    bytes_ += frame->size();
    overflown_ = queue_.size() > backlog_.max_frames || bytes_ > backlog_.max_bytes;
    if (overflown_) queue_.clear();
    if (!std::exchange(woken_, true)) {
        asio::post(io_, [self = shared_from_this()] { self->wake(); });
    }
}

void EventStream::subscribe(events::Hub& hub, unsigned kinds, EventScope scope) {
    auto listener = [self = shared_from_this(), scope = std::move(scope)](const events::Event& event) {
        const bool wanted =
            event.project.empty() ? scope.server_too : scope.projects.empty() || names(scope, event.project);
        if (wanted) self->push(event.text);
    };
    subscription_.emplace(hub.subscribe(kinds, std::move(listener)));
}

void EventStream::start(std::shared_ptr<Websocket> socket) {
    socket_ = std::move(socket);
    asio::co_spawn(io_, write_loop(shared_from_this()), asio::detached);
    asio::co_spawn(io_, read_loop(shared_from_this()), asio::detached);
}

void EventStream::wake() {
    {
        const std::lock_guard lock(mutex_);
        woken_ = false;
        if (overflown_ && socket_) socket_->abort();  // ends a write to a client that does not read
    }
    change_.cancel();
}

std::optional<std::deque<EventStream::Frame>> EventStream::take() {
    const std::lock_guard lock(mutex_);
    if (overflown_) return std::nullopt;
    bytes_ = 0;
    return std::exchange(queue_, {});
}

asio::awaitable<void> EventStream::write_loop(std::shared_ptr<EventStream> self) {
    while (self->socket_->is_open()) {
        const auto frames = self->take();
        if (!frames) {
            self->socket_->abort();
            break;
        }
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
    self->socket_->close();
}

/// Clients say nothing here; reading is what notices that they have gone.
asio::awaitable<void> EventStream::read_loop(std::shared_ptr<EventStream> self) {
    for (;;) {
        std::array<char, 512> buffer;
        auto reading = self->socket_->read(buffer);
        if (!co_await std::move(reading)) break;
    }
    self->change_.cancel();
}

}  // namespace lxmgr::rest
