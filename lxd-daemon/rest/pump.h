#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>

#include "lxd-daemon/rest/websocket.h"

/// Moves bytes between websockets and descriptors without a thread: exec and console. I/O thread only.
namespace lxmgr::rest {

using Descriptor = boost::asio::posix::stream_descriptor;

/// How an output is to end once nothing more is expected from its other side.
struct OutputEnd {
    bool asked = false;  ///< take what is there already and stop; cancel() the descriptor after setting it
};

/// Sends what the descriptor gives as binary messages, then one empty text message (LXD's mark for the end of
/// a stream). Ends at end of file, on an error of either side, or as `end` says.
boost::asio::awaitable<void> pump_output(std::shared_ptr<Descriptor> from, std::shared_ptr<Websocket> to,
                                         std::shared_ptr<const OutputEnd> end);

/// Writes messages to the descriptor until the client sends an empty text message or goes away. A reader that
/// is gone does not end it: what still comes is dropped.
/// @return true when the end was said, false when the websocket was lost.
boost::asio::awaitable<bool> pump_input(std::shared_ptr<Websocket> from, std::shared_ptr<Descriptor> to);

/// Reads and forgets until the websocket ends, so that its control frames are answered.
boost::asio::awaitable<void> read_to_end(std::shared_ptr<Websocket> from);

}  // namespace lxmgr::rest
