#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::rest {

class Websocket;

/// The other end of the connection that a request came on. I/O thread only.
class Peer {
public:
    virtual ~Peer() = default;
    /// Calls back once when the client closes the connection while the handler still runs; never after the
    /// handler ended.
    virtual void on_hangup(std::function<void()> callback) = 0;
};

/// The body of a request that is still to come. I/O thread only.
class Incoming {
public:
    virtual ~Incoming() = default;
    /// How long it is; 0: the client has not said.
    [[nodiscard]] virtual std::uint64_t incoming_bytes() const = 0;
    /// Waits for the next bytes; 0 at the end. Errors: `bad_request` when the client goes before it.
    virtual boost::asio::awaitable<Result<std::size_t>> read_incoming(std::span<char> room) = 0;
    /// Ends a read_incoming() that waits, with an error.
    virtual void stop_incoming() = 0;
    /// That the client may still do what it has asked for: its body may have taken long.
    virtual Result<> check_incoming() = 0;
};

/// A connection whose client asked to leave HTTP. The handler answers with Response::upgraded after one of
/// these succeeded, and with an ordinary response otherwise. I/O thread only.
class Upgrade {
public:
    virtual ~Upgrade() = default;
    /// Protocol named by the client, lower case: "websocket", "sftp".
    [[nodiscard]] virtual std::string_view protocol() const = 0;
    /// Answers 101 and hands the connection over. Errors: `bad_request` when the handshake is not valid.
    virtual boost::asio::awaitable<Result<std::shared_ptr<Websocket>>> accept_websocket() = 0;
    /// Answers 101 with this protocol and hands the bare, non-blocking socket over.
    virtual boost::asio::awaitable<Result<UniqueFd>> accept_raw(std::string protocol) = 0;
};

}  // namespace lxmgr::rest
