#pragma once
#include <string>
#include <thread>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxmgr/server.h"

/// What two servers say to each other passes through us, where neither reaches the other one.
namespace lxmgr::cli {

/// Websockets of two servers, each joined with one of the other. Threads carry the frames, as fast as the
/// slower side takes them, until both have ended or this is destroyed.
class Relay {
public:
    Relay() = default;
    Relay(Relay&&) = delete;
    ~Relay();

    struct End {
        const Server& server;
        std::string target;  ///< path and query of the websocket
    };
    /// Errors: `unavailable`, or what the server says in place of an upgrade.
    Result<> join(const End& one, const End& other);

private:
    std::vector<UniqueFd> sockets_;
    std::vector<std::thread> threads_;
};

}  // namespace lxmgr::cli
