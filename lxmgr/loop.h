#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"
#include "lxmgr/server.h"

/// One thread that waits for several things at once: websockets, an answer, descriptors, signals, the clock.
/// Boost stays in loop.cc.
namespace lxmgr::cli {

/// What a websocket tells. All run inside Loop::run().
struct SocketEvents {
    std::function<void(std::string_view)> binary;
    std::function<void(std::string_view)> text;  ///< an empty text is LXD's end of stream
    std::function<void()> closed;                ///< last of all; told once, for whatever reason
};

class WebSocket {
public:
    WebSocket() = default;
    WebSocket(WebSocket&&) = delete;
    virtual ~WebSocket() = default;
    /// Queued; `sent` (may be empty) is called when the bytes are with the kernel.
    virtual void send_binary(std::string bytes, std::function<void()> sent) = 0;
    virtual void send_text(std::string text) = 0;
    /// Close frame 1000 after what is queued.
    virtual void close() = 0;
};

class Loop {
public:
    explicit Loop(Server server);
    Loop(Loop&&) = delete;
    ~Loop();

    /// Connects and upgrades (blocking), then reads in run(). The loop owns the socket.
    /// Errors: as Http::send(), and `not_found` etc. when the daemon refuses the upgrade.
    Result<WebSocket*> connect(const std::string& target, SocketEvents events);
    /// A request without a body on a connection of its own; `done` gets the whole body of the answer.
    Result<> request(std::string_view method, const std::string& target,
                     std::function<void(Result<std::string>)> done);
    /// Calls once when the descriptor is readable (always is: a regular file). Does not make it non-blocking,
    /// because a terminal's flags are shared with the shell that started us.
    void when_readable(int fd, std::function<void()> ready);
    /// Calls at every arrival of the signal, in place of its default action.
    void on_signal(int signal, std::function<void(int)> arrived);
    void after(std::chrono::milliseconds delay, std::function<void()> elapsed);

    /// Until stop(), or until nothing is left to wait for.
    void run();
    void stop();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace lxmgr::cli
