#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/monitor/wire.h"
#include "lxd-daemon/runtime/container.h"

/// The daemon's end of the sockets to monitors: monitor/wire.h.
namespace lxmgr::runtime {

/// A message that came in. The first number is what most hold.
struct Received {
    wire::Type type{};
    std::vector<std::uint32_t> numbers;
    std::vector<UniqueFd> fds;
    [[nodiscard]] std::uint32_t number(std::size_t index) const {
        return index < numbers.size() ? numbers[index] : 0;
    }
    /// Two numbers that are one; 0 when the message is from a monitor that did not know of it.
    [[nodiscard]] std::int64_t wide(std::size_t index) const {
        return static_cast<std::int64_t>(number(index) |
                                         (static_cast<std::uint64_t>(number(index + 1)) << 32));
    }
    UniqueFd take_fd(std::size_t index) { return index < fds.size() ? std::move(fds[index]) : UniqueFd(); }
};

/// Connects to the monitor in a run directory. Errors: `not_found` when none listens there.
Result<UniqueFd> connect_monitor(int run_dir);

/// Sends a message that was built in `writer`, however large.
Result<> send_to_monitor(int socket, const wire::Writer& writer, const std::vector<int>& fds);
/// A message without a body.
Result<> send_to_monitor(int socket, wire::Type type, const std::vector<int>& fds = {});

/// One message. Errors: `unavailable` when the connection ended, or nothing came in time.
Result<Received> receive_from_monitor(int socket, std::chrono::milliseconds timeout);
/// As above without waiting: nullopt when there is nothing yet.
Result<std::optional<Received>> poll_monitor(int socket);
/// What a `failed` message says, as a sentence. attachments: targets of StartRequest::attach.
/// @param request  what failed to start, to name the part that was at fault
Error failure_of(const Received& message, const StartRequest* request = nullptr);

}  // namespace lxmgr::runtime
