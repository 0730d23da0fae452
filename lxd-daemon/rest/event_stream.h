#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/rest/websocket.h"

namespace lxmgr::rest {

/// What a listener may be behind before it is cut off. A client that was dropped knows that it missed
/// something.
struct EventBacklog {
    std::size_t max_frames = 8192;
    std::size_t max_bytes = std::size_t{8} << 20;
};

/// Whose events a listener gets.
struct EventScope {
    std::vector<std::string> projects;  ///< or an instance, for guest events; none: all projects
    bool server_too = false;            ///< what belongs to no project: log lines, certificates
};

/// One client's stream of events over a websocket: filled by any thread, emptied by the I/O thread. Keeps
/// itself alive once started.
class EventStream : public std::enable_shared_from_this<EventStream> {
public:
    explicit EventStream(boost::asio::io_context& io, EventBacklog backlog = {});

    /// Begins to keep events. Before the client learns that its websocket stands: then it misses none.
    void subscribe(events::Hub& hub, unsigned kinds, EventScope scope);
    void unsubscribe() { subscription_.reset(); }
    void start(std::shared_ptr<Websocket> socket);

private:
    using Frame = std::shared_ptr<const std::string>;
    void push(const Frame& frame);
    void wake();
    std::optional<std::deque<Frame>> take();
    static boost::asio::awaitable<void> write_loop(std::shared_ptr<EventStream> self);
    static boost::asio::awaitable<void> read_loop(std::shared_ptr<EventStream> self);

    boost::asio::io_context& io_;
    EventBacklog backlog_;
    std::shared_ptr<Websocket> socket_;
    boost::asio::steady_timer change_;
    std::optional<events::Hub::Subscription> subscription_;
    std::mutex mutex_;
    std::deque<Frame> queue_;
    std::size_t bytes_ = 0;
    bool overflown_ = false;
    bool woken_ = false;
};

}  // namespace lxmgr::rest
