#pragma once
#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "lxd-daemon/rest/https/context.h"
#include "lxd-daemon/rest/remote.h"
#include "lxd-daemon/rest/server.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/turns.h"

namespace lxmgr::rest {

class Tunnel;

/// What tunnels share.
struct TlsHosting {
    Services& services;
    Server& server;  ///< whose sessions they feed
    TlsContext context;
    Turns handshakes;  ///< few at a time: each is a millisecond of a worker
    std::list<Tunnel*> tunnels{};
    std::shared_ptr<const auth::Authority>
        authority{};                  ///< whose clients are trusted, core.trust_ca_certificates
    std::set<std::string> proxies{};  ///< whose word for whom they speak is taken, core.https_trusted_proxy
    std::function<bool(const Remote&)> make_room{};  ///< false: its host has connections enough
};

/// One TLS connection: the handshake, then bytes between the client and one end of a socket pair. A Session
/// serves the other end as it does the unix socket's clients, with all they have: splice, websockets, raw
/// streams. Ending the tunnel ends whatever the session became. I/O thread only, but for the handshake.
class Tunnel : public std::enable_shared_from_this<Tunnel> {
public:
    using Tcp = boost::asio::ip::tcp::socket;
    using Clock = std::chrono::steady_clock;

    Tunnel(std::shared_ptr<TlsHosting> hosting, Tcp tcp, std::shared_ptr<Remote> remote);
    ~Tunnel();
    Tunnel(Tunnel&&) = delete;

    static boost::asio::awaitable<void> run(std::shared_ptr<Tunnel> self);
    /// Ends it at once.
    void abort();
    /// Within a second or two: what it is being answered now still gets there.
    void end_soon() { deadline_ = std::min(deadline_, Clock::now() + std::chrono::seconds(1)); }
    [[nodiscard]] const Remote& remote() const { return *remote_; }
    [[nodiscard]] bool is_shaking() const { return shaking_; }
    [[nodiscard]] bool is_aborted() const { return aborted_; }
    /// Came with a certificate that was trusted then.
    [[nodiscard]] bool was_trusted() const { return trusted_; }
    /// Its certificate was valid when it came and is so no longer.
    [[nodiscard]] bool has_expired() const { return came_valid_ && !remote_->certificate->is_valid_now(); }
    [[nodiscard]] Clock::time_point deadline() const { return deadline_; }

private:
    enum class Outcome { done, want_read, want_write, failed };
    using Local = boost::asio::local::stream_protocol::socket;

    boost::asio::awaitable<bool> learn_from_proxy();
    Outcome handshake_step(const std::shared_ptr<const auth::Authority>& authority);
    boost::asio::awaitable<bool> shake_hands();
    boost::asio::awaitable<bool> wait_tcp(Tcp::wait_type what);
    boost::asio::awaitable<bool> wait_local(Local::wait_type what);
    /// For a step of OpenSSL that could not go on, as SSL_get_error(3) says why: false when there is nothing
    /// to wait for.
    boost::asio::awaitable<bool> wait_for(int why);
    bool connect_session();
    std::string_view give(std::string_view bytes);
    static boost::asio::awaitable<void> pump_in(std::shared_ptr<Tunnel> self);
    static boost::asio::awaitable<void> pump_out(std::shared_ptr<Tunnel> self);
    boost::asio::awaitable<bool> deliver(std::string_view bytes);
    /// Takes off what has gone. What stopped it, as SSL_get_error(3) says.
    int encrypt_now(std::string_view& bytes);
    boost::asio::awaitable<bool> encrypt(std::string_view bytes);
    void end_in();
    void end_out();

    std::shared_ptr<TlsHosting> hosting_;
    Tcp tcp_;
    Local local_;
    std::shared_ptr<Remote> remote_;
    std::list<Tunnel*>::iterator place_;
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
    Clock::time_point deadline_ = Clock::time_point::max();
    bool shaking_ = true;
    bool trusted_ = false;
    bool came_valid_ = false;
    bool aborted_ = false;
    bool broken_ = false;  ///< TLS failed: no more of it can be said
    bool in_ended_ = false, out_ended_ = false;
};

}  // namespace lxmgr::rest
