#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
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
