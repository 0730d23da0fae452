#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/rest/connection.h"
#include "lxd-daemon/rest/https/tls_stream.h"

namespace lxmgr::rest {

struct Request;

/// Server side of a websocket (RFC 6455, no extensions). Pings its peer at once and every ten seconds with
/// the payload "keepalive", as LXD does: Incus's client closes a websocket that is silent for 30 s. One read
/// and one write may be in progress at a time. I/O thread only; keep the shared_ptr while an operation is in
/// progress.
class Websocket {
public:
    virtual ~Websocket() = default;

    struct Chunk {
        std::size_t size = 0;
        bool text = false;
        bool message_end = false;
    };
    /// Reads a part of a message. Errors: whatever ended the connection, a close frame included.
    virtual boost::asio::awaitable<Result<Chunk>> read(std::span<char> buffer) = 0;
    /// Reads one whole text or binary message. Errors: as read(); `too_large` when it is longer.
    boost::asio::awaitable<Result<std::string>> read_message(std::size_t max_bytes);
    /// Writes one message and returns when the socket has taken it. `bytes` must live until then.
    virtual boost::asio::awaitable<Result<>> write(std::string_view bytes, bool text) = 0;
    /// Sends a close frame, waits for the peer's and for its end of the connection, ten seconds at most, and
    /// closes. In the background. A read that gets the peer's close frame answers it and does the same.
    virtual void close() = 0;
    /// Closes at once; a read or write in progress ends with an error.
    virtual void abort() = 0;
    [[nodiscard]] virtual bool is_open() const = 0;

    /// Answers the handshake that `request` holds. Errors: `bad_request` when it is not a valid one; then
    /// nothing was sent and the socket is given back through the reference.
    /// @param lease  held as long as the websocket exists
    static boost::asio::awaitable<Result<std::shared_ptr<Websocket>>> accept(Socket& socket,
                                                                             const Request& request,
                                                                             Lease lease);
    /// The other side: begins the handshake with a server at the other end of the stream.
    /// @param target  path and query
    /// Errors: `bad_request` with what the server answers.
    static boost::asio::awaitable<Result<std::shared_ptr<Websocket>>> connect(TlsStream stream,
                                                                              std::string host,
                                                                              std::string target);
};

}  // namespace lxmgr::rest
