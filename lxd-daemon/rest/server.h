#pragma once
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// The HTTP server: listening sockets, connections and their limits. All of it lives on the I/O thread.
namespace lxmgr::rest {

struct Services;
struct Remote;
class Router;

/// What a client may cost. Times are checked once a second.
struct Limits {
    std::size_t max_connections =
        1024;                         ///< beyond it the longest idle one is closed, or the new one is refused
    std::size_t max_upgraded = 8192;  ///< connections that became websockets: they count apart
    std::chrono::milliseconds header_time{3000};  ///< from the first byte of a request to the end of its head
    std::chrono::milliseconds idle_time{600'000};  ///< between requests
    std::chrono::milliseconds stall_time{30'000};  ///< without a byte moved inside a body or an answer
    std::size_t max_head_bytes = 16384;
    std::size_t max_json_bytes = std::size_t{1} << 20;
    unsigned requests_per_second = 0;  ///< and as many at once; more of them wait. 0: no limit
};

class Server {
public:
    /// Services and router outlive the server.
    /// @param guest  the instance that asks; empty: administrators do
    Server(Services& services, const Router& router, Limits limits = {}, std::string guest = {});
    ~Server();
    Server(Server&&) = delete;

    /// Serves a listening unix socket; its peers are administrators.
    void listen(UniqueFd listening_socket);
    /// Serves a client whose bytes come over this end of a socket pair.
    void serve(UniqueFd connection, std::shared_ptr<Remote> remote);
    /// Accepts no more and closes connections that are between requests; the others end after their answer.
    void drain();
    /// Closes everything at once.
    void close();
    [[nodiscard]] std::size_t connections() const;

    struct Impl;

private:
    std::shared_ptr<Impl> impl_;
};

/// A listening stream socket at `path` with exactly this mode and group. It is made under another name and
/// moved there: clients see the old one or the ready new one. The caller holds the lock of the state
/// directory, so whatever is at `path` is stale. Errors: `bad_request` when the path is too long for a unix
/// socket.
Result<UniqueFd> listen_unix(const std::string& path, unsigned mode, unsigned gid);

}  // namespace lxmgr::rest
