#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <list>
#include <memory>
#include <string>

#include "lxd-daemon/rest/remote.h"
#include "lxd-daemon/rest/server.h"

/// Inside of the HTTP server. I/O thread only.
namespace lxmgr::rest {

using Socket = boost::asio::local::stream_protocol::socket;
using SteadyTime = std::chrono::steady_clock::time_point;

/// What the server knows of a connection.
class Connection {
public:
    virtual ~Connection() = default;
    /// Ends it at once; its coroutine notices and goes away.
    virtual void abort() = 0;
    SteadyTime deadline = SteadyTime::max();  ///< past it the server aborts the connection
    SteadyTime idle_since{};                  ///< of an idle one
    bool idle = false;                        ///< between requests
};

/// What connections share.
struct Hosting {
    Services& services;
    const Router& router;
    Limits limits;
    bool draining = false;
    std::list<Connection*> connections;
    std::size_t upgraded = 0;
    std::string guest;     ///< the instance that asks; empty: administrators do
    double allowance = 0;  ///< of requests
    SteadyTime allowance_at{};
    SteadyTime awake_until{};  ///< see stay_awake()
    bool awake = false;
};

/// Takes one request of those allowed, or says how long to wait for the next one.
std::chrono::milliseconds take_request(Hosting& hosting);
/// Waits for it.
boost::asio::awaitable<void> pace(std::shared_ptr<Hosting> hosting);

/// For a moment the I/O thread looks for events without sleeping: to wake an idle core takes several times as
/// long as to answer, and a client with one question often has the next. Costs nothing once nobody asks.
void stay_awake(const std::shared_ptr<Hosting>& hosting);

/// A place among the upgraded connections, given back when the last holder lets go of it.
using Lease = std::shared_ptr<void>;
/// Errors: `unavailable` when all are taken.
Result<Lease> take_lease(const std::shared_ptr<Hosting>& hosting);

/// Serves one client until it leaves. Keeps itself alive.
/// @param remote  null: the peer is at the other end of the unix socket
void start_connection(std::shared_ptr<Hosting> hosting, Socket socket, std::shared_ptr<Remote> remote);

/// {"username","protocol","address"} of a unix peer. Blocking: asks for the user's name.
std::string describe_unix_peer(unsigned uid);

}  // namespace lxmgr::rest
