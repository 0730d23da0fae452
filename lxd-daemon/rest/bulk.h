#pragma once
#include <cstdint>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// Big bodies between a plain socket and a file, without passing through this process's memory (splice(2),
/// sendfile(2)). Blocking as far as the file is concerned: for the worker pool. The socket does not block.
namespace lxmgr::rest {

struct Moved {
    std::uint64_t bytes = 0;
    bool ended = false;  ///< nothing more will come from the source; otherwise the socket is to be waited for
};

/// A socket's bytes go to a file. Owns a copy of the socket's descriptor, so that closing the connection
/// meanwhile harms nobody.
class BodyReceiver {
public:
    static Result<BodyReceiver> open(int socket);
    /// As much as is there, at most `most` bytes. Errors: those of the file (disk full), and of the socket.
    Result<Moved> receive(int file, std::uint64_t most);

private:
    BodyReceiver() = default;
    Result<> drain(int file, std::uint64_t bytes);
    UniqueFd socket_, pipe_out_, pipe_in_;
};

/// The same the other way round, from the file's offset.
class BodySender {
public:
    static Result<BodySender> open(int socket);
    Result<Moved> send(int file, std::uint64_t most);

private:
    BodySender() = default;
    UniqueFd socket_;
};

}  // namespace lxmgr::rest
