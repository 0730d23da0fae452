#include "lxd-daemon/rest/https/tunnel.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>

#include "lxd-daemon/auth/openssl.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/https/corked.h"
#include "lxd-daemon/rest/https/listening.h"
#include "lxd-daemon/rest/https/proxy_header.h"
#include "lxd-daemon/rest/identify.h"
#include "lxd-daemon/rest/on_worker.h"
#include "profiles/listen_address.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::seconds kHandshakeTime{10};
constexpr std::chrono::seconds kGoodbyeTime{2};
constexpr unsigned kRoundsBeforeOthers = 4;

/// For bytes that are not kept beyond the next suspension: of several records. From the heap: what is in the
/// threads' own data is zeroed, and so there, in each thread.
std::span<char> scratch() {
    using Buffer = std::array<char, 65536>;
    thread_local const auto buffer = std::make_unique_for_overwrite<Buffer>();
    return *buffer;
}

std::shared_ptr<const auth::Certificate> peer_certificate(SSL* ssl) {
    const auth::X509Ptr peer(SSL_get1_peer_certificate(ssl));
    if (!peer) return nullptr;
    unsigned char* der = nullptr;
    const int size = i2d_X509(peer.get(), &der);
    if (size <= 0) return nullptr;
    auto parsed = auth::parse_der({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)});
    OPENSSL_free(der);
    if (!parsed) return nullptr;
    return std::make_shared<const auth::Certificate>(*std::move(parsed));
}

/// What Go's server says, too.
void say_that_this_is_https(int fd) {
    constexpr std::string_view kAnswer =
        "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nClient sent an HTTP request to an HTTPS "
        "server.\n";
    (void)::send(fd, kAnswer.data(), kAnswer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

Tunnel::Tunnel(std::shared_ptr<TlsHosting> hosting, Tcp tcp, std::shared_ptr<Remote> remote)
    : hosting_(std::move(hosting)),
      tcp_(std::move(tcp)),
      local_(hosting_->services.io),
      remote_(std::move(remote)),
      ssl_(SSL_new(hosting_->context.get()), SSL_free) {
    hosting_->tunnels.push_back(this);
    place_ = std::prev(hosting_->tunnels.end());
    deadline_ = Clock::now() + kHandshakeTime;
}

Tunnel::~Tunnel() { hosting_->tunnels.erase(place_); }

/// The descriptor stays open until the last user is gone: a worker may be in the handshake on it.
void Tunnel::abort() {
    if (std::exchange(aborted_, true)) return;
    error_code ignored;
    tcp_.cancel(ignored);
    ::shutdown(tcp_.native_handle(), SHUT_RDWR);
    local_.close(ignored);
}

asio::awaitable<bool> Tunnel::wait_tcp(Tcp::wait_type what) {
    error_code error;
    auto pending = tcp_.async_wait(what, asio::redirect_error(asio::use_awaitable, error));
    co_await std::move(pending);
    co_return !error && !aborted_;
}

asio::awaitable<bool> Tunnel::wait_local(Local::wait_type what) {
    error_code error;
    auto pending = local_.async_wait(what, asio::redirect_error(asio::use_awaitable, error));
    co_await std::move(pending);
    co_return !error && !aborted_;
}

asio::awaitable<bool> Tunnel::wait_for(int why) {
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        auto waiting = wait_tcp(why == SSL_ERROR_WANT_READ ? Tcp::wait_read : Tcp::wait_write);
        co_return co_await std::move(waiting);
    }
    broken_ = broken_ || why != SSL_ERROR_ZERO_RETURN;
    co_return false;
}

/// For whom a trusted proxy has made the connection. False: it ends.
asio::awaitable<bool> Tunnel::learn_from_proxy() {
    if (!hosting_->proxies.contains(remote_->host)) co_return true;
    auto reading = read_proxy_header(tcp_);
    const auto source = co_await std::move(reading);
    if (!source || aborted_) co_return false;
    if (*source && !(*source)->host.empty()) {
        remote_->host = (*source)->host;
        remote_->counted_as = counted_host(remote_->host);
        remote_->address = profiles::host_and_port(remote_->host, (*source)->port);
    }
    co_return !hosting_->make_room || hosting_->make_room(*remote_);
}

/// On a worker.
Tunnel::Outcome Tunnel::handshake_step(const std::shared_ptr<const auth::Authority>& authority) {
    ERR_clear_error();
    const int done = SSL_accept(ssl_.get());
    if (done == 1) {
        remote_->certificate = peer_certificate(ssl_.get());
        if (authority && remote_->certificate && authority->vouches_for(*remote_->certificate))
            remote_->vouched_by = authority;
        return Outcome::done;
    }
    const int why = SSL_get_error(ssl_.get(), done);
    if (why == SSL_ERROR_WANT_READ) return Outcome::want_read;
    if (why == SSL_ERROR_WANT_WRITE) return Outcome::want_write;
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST) say_that_this_is_https(tcp_.native_handle());
    ERR_clear_error();
    return Outcome::failed;
}

asio::awaitable<bool> Tunnel::shake_hands() {
    auto what = Tcp::wait_read;
    for (;;) {
        auto waiting = wait_tcp(what);
        if (!co_await std::move(waiting)) co_return false;
        auto queueing = hosting_->handshakes.take();
        std::shared_ptr<void> turn = co_await std::move(queueing);
        if (aborted_) co_return false;
        auto step = [self = shared_from_this(), authority = hosting_->authority] {
            return self->handshake_step(authority);
        };
        auto stepping = on_worker(hosting_->services, std::move(step));
        const Outcome outcome = co_await std::move(stepping);
        turn.reset();
        if (aborted_ || outcome == Outcome::failed) co_return false;
        if (outcome == Outcome::done) co_return true;
        what = outcome == Outcome::want_read ? Tcp::wait_read : Tcp::wait_write;
    }
}

bool Tunnel::connect_session() {
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
        log::warn("no socket pair for a TLS connection", {{"errno", std::to_string(errno)}});
        return false;
    }
    UniqueFd theirs(ends[1]);
    error_code error;
    local_.assign(asio::local::stream_protocol(), ends[0], error);
    if (error) ::close(ends[0]);
    if (!error) hosting_->server.serve(std::move(theirs), remote_);
    return !error;
}

asio::awaitable<void> Tunnel::run(std::shared_ptr<Tunnel> self) {
    error_code error;
    self->tcp_.native_non_blocking(true, error);
    if (error || !self->ssl_ || SSL_set_fd(self->ssl_.get(), self->tcp_.native_handle()) != 1) co_return;
    auto learning = self->learn_from_proxy();
    if (!co_await std::move(learning)) co_return;
    auto shaking = self->shake_hands();
    const bool shaken = co_await std::move(shaking);
    if (!shaken || self->aborted_) co_return;
    self->shaking_ = false;
    self->deadline_ = Clock::time_point::max();
    auto& store = self->hosting_->services.database->certificates();
    const auto& certificate = self->remote_->certificate;
    self->came_valid_ = certificate && certificate->is_valid_now();
    self->trusted_ = identify_remote(store, *self->remote_).who != auth::Who::untrusted;
    if (!self->connect_session()) co_return;
    auto& io = self->hosting_->services.io;
    asio::co_spawn(io, pump_in(self), asio::detached);
    asio::co_spawn(io, pump_out(self), asio::detached);
}

/// Hands decrypted bytes to the session; false when it is gone.
asio::awaitable<bool> Tunnel::deliver(std::string_view bytes) {
    std::string kept;  // what must outlive a wait
    while (!bytes.empty()) {
        const ssize_t sent =
            ::send(local_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            bytes.remove_prefix(static_cast<std::size_t>(sent));
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) co_return false;
        if (kept.empty()) bytes = kept = std::string(bytes);
        auto waiting = wait_local(Local::wait_write);
        if (!co_await std::move(waiting)) co_return false;
    }
    co_return true;
}

asio::awaitable<void> Tunnel::pump_in(std::shared_ptr<Tunnel> self) {
    for (unsigned round = 1; !self->aborted_; ++round) {
        const auto buffer = scratch();
        std::size_t filled = 0;
        int size = 1;
        while (size > 0 && filled < buffer.size()) {
            ERR_clear_error();
            const auto rest = buffer.subspan(filled);
            size = SSL_read(self->ssl_.get(), rest.data(), static_cast<int>(rest.size()));
            if (size > 0) filled += static_cast<std::size_t>(size);
        }
        // After the session's end what still comes is read and thrown away: see end_out().
        const int why = size > 0 ? SSL_ERROR_NONE : SSL_get_error(self->ssl_.get(), size);
        if (filled > 0 && !self->out_ended_) {
            auto delivering = self->deliver({buffer.data(), filled});
            co_await std::move(delivering);
        }
        if (size <= 0) {
            auto waiting = self->wait_for(why);
            if (!co_await std::move(waiting)) break;
        }
        if (round % kRoundsBeforeOthers == 0) {
            auto yielding = asio::post(self->hosting_->services.io, asio::use_awaitable);
            co_await std::move(yielding);
        }
    }
    self->end_in();
}

/// As much as can go now.
int Tunnel::encrypt_now(std::string_view& bytes) {
    const Corked corked(tcp_.native_handle(), bytes.size());
    int written = 1;
    while (written > 0 && !bytes.empty()) {
        ERR_clear_error();
        written = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
        if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return written > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), written);
}

/// False: the connection is broken.
asio::awaitable<bool> Tunnel::encrypt(std::string_view bytes) {
    std::string kept;
    for (;;) {
        const int why = encrypt_now(bytes);
        if (bytes.empty()) co_return true;
        if (kept.empty()) bytes = kept = std::string(bytes);
        auto waiting = wait_for(why);
        if (!co_await std::move(waiting)) co_return false;
    }
}

asio::awaitable<void> Tunnel::pump_out(std::shared_ptr<Tunnel> self) {
    for (unsigned round = 1; !self->aborted_; ++round) {
        const auto buffer = scratch();
        const ssize_t size = ::recv(self->local_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
            auto waiting = self->wait_local(Local::wait_read);
            if (!co_await std::move(waiting)) break;
            continue;
        }
        if (size <= 0) break;
        auto encrypting = self->encrypt({buffer.data(), static_cast<std::size_t>(size)});
        if (!co_await std::move(encrypting)) break;
        if (round % kRoundsBeforeOthers == 0) {
            auto yielding = asio::post(self->hosting_->services.io, asio::use_awaitable);
            co_await std::move(yielding);
        }
    }
    self->end_out();
}

/// The client has nothing more to say. It may still want the answer.
void Tunnel::end_in() {
    in_ended_ = true;
    remote_->gone = true;
    if (remote_->on_gone) std::exchange(remote_->on_gone, nullptr)();
    if (broken_ || out_ended_) return abort();
    if (!aborted_) ::shutdown(local_.native_handle(), SHUT_WR);
}

/// The session has ended. What the client still sends is read for a moment: closing with bytes unread would
/// reset the connection, and the client would see that instead of the answer.
void Tunnel::end_out() {
    out_ended_ = true;
    if (broken_ || in_ended_ || aborted_) {
        if (!broken_ && !aborted_) SSL_shutdown(ssl_.get());
        return abort();
    }
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    error_code ignored;
    tcp_.shutdown(Tcp::shutdown_send, ignored);
    ::shutdown(local_.native_handle(), SHUT_RDWR);
    deadline_ = Clock::now() + kGoodbyeTime;
}

}  // namespace lxmgr::rest
