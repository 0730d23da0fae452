#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::migration {

/// The connections between the two servers of one migration, for the thread that does it. All but abort()
/// block, one at a time. What broke, or was aborted, is an error of every call from then on.
class Link {
public:
    virtual ~Link() = default;
    /// Waits until they are there, or dials. Errors: `bad_request` when that takes too long.
    virtual Result<> connect() = 0;

    /// The next message of the control socket.
    virtual Result<std::string> receive() = 0;
    virtual Result<> send(std::string message) = 0;
    /// From now on: a message that comes while carry() goes on ends that one, unless it tells of success. It
    /// is there for the next receive().
    virtual void heed() = 0;

    /// Carries one stream each way on the file system's socket: from one descriptor until its end, and to the
    /// other one until the peer has said its end. Both are pipes or sockets.
    /// @param progress  gets the bytes of the direction that has more, now and then
    virtual Result<> carry(UniqueFd from, UniqueFd to, std::function<void(std::uint64_t)> progress) = 0;

    /// Ends everything now. Thread-safe.
    virtual void abort() = 0;
    /// Ends in peace: what was sent arrives. Thread-safe.
    virtual void close() = 0;
};

}  // namespace lxmgr::migration
