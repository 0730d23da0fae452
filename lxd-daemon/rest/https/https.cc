#include "lxd-daemon/rest/https/https.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/https/lapsed_trust.h"
#include "lxd-daemon/rest/https/listening.h"
#include "lxd-daemon/rest/https/tunnel.h"
#include "lxd-daemon/rest/https/watch_over.h"
#include "profiles/config_keys.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

/// What clients over the network may cost; those on the unix socket have limits of their own.
constexpr Limits kHttpsLimits{.max_connections = 1024,
                              .max_upgraded = 4096,
                              .header_time = std::chrono::seconds(5),
                              .idle_time = std::chrono::seconds(60),
                              .stall_time = std::chrono::seconds(30)};
constexpr std::size_t kShakingPerHost = 32;  ///< beyond it the oldest of them is dropped
constexpr std::size_t kShaking = 256;
constexpr std::size_t kUntrustedPerHost = 64;  ///< beyond it the host's next one is refused
constexpr std::size_t kHandshakesAtOnce = 2;
constexpr std::chrono::seconds kAddressesGoodFor{2};

/// One listening socket, as long as its accept loop runs.
struct Listening {
    Tcp::acceptor acceptor;
    bool metrics_only;
};

/// One of the addresses in the config.
struct Spot {
    std::optional<profiles::ListenAddress> address;
    std::shared_ptr<Listening> listening;
    bool metrics_only = false;
};

std::optional<profiles::ListenAddress> wanted_address(const api::ConfigMap& config, const char* key) {
    const auto found = config.find(key);
    if (found == config.end() || found->second.empty()) return std::nullopt;
    auto parsed = profiles::parse_listen_address(found->second);
    if (!parsed) return std::nullopt;  // the config was validated
    return *std::move(parsed);
}

std::set<std::string> trusted_proxies(const api::ConfigMap& config) {
    std::set<std::string> out;
    for (const auto& part : split(api::value_of(config, "core.https_trusted_proxy"), ',')) {
        error_code error;
        const auto address = asio::ip::make_address(std::string(trim(part)), error);
        if (!error) out.insert(address.to_string());
    }
    return out;
}

using AuthorityPtr = std::shared_ptr<const auth::Authority>;

/// Null: none is trusted. One that cannot be read must not keep the daemon from starting.
Result<AuthorityPtr> wanted_authority(const std::string& root, const api::ConfigMap& config,
                                      Https::When when) {
    if (!profiles::parse_bool(api::value_of(config, "core.trust_ca_certificates"))) return AuthorityPtr();
    auto opened = auth::Authority::open(root);
    if (opened) return std::make_shared<const auth::Authority>(*std::move(opened));
    if (when == Https::When::now) return std::unexpected(std::move(opened).error());
    log::error("clients of the authority are not trusted", {{"error", opened.error().message}});
    return AuthorityPtr();
}

std::string host_of(const Tcp::endpoint& peer) {
    const auto address = peer.address();
    if (address.is_v6() && address.to_v6().is_v4_mapped())
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
    return address.to_string();
}

}  // namespace

struct Https::Impl : std::enable_shared_from_this<Impl> {
    Impl(Services& services_, const Router& router, auth::ServerCertificate certificate_)
        : services(services_),
          server(services_, router, kHttpsLimits),
          certificate(std::move(certificate_)),
          sweep_timer(services_.io) {
        metrics.metrics_only = true;
    }

    Services& services;
    Server server;
    auth::ServerCertificate certificate;
    Spot api, metrics;
    std::shared_ptr<TlsHosting> hosting;  ///< made with the first listener
    asio::steady_timer sweep_timer;
    LapsedTrust lapsed;
    bool sweeping = false;
    bool closed = false;
    mutable std::vector<std::string> known_addresses;
    mutable std::chrono::steady_clock::time_point known_at{};

    Result<> prepare();
    Result<> move_to(Spot& place, const std::optional<profiles::ListenAddress>& address, When when);
    void open(Spot& place, UniqueFd fd);
    static void close(Spot& place);
    void trust(std::set<std::string> proxies, AuthorityPtr authority);
    bool make_room(const Remote& remote);
    void admit(Tcp::socket socket, bool metrics_only);
    static asio::awaitable<void> accept_loop(std::shared_ptr<Impl> self,
                                             std::shared_ptr<Listening> listening);
    static asio::awaitable<void> sweep_loop(std::shared_ptr<Impl> self);
};

Result<> Https::Impl::prepare() {
    if (hosting) return {};
    LX_TRY_AS(auto context, make_tls_context(certificate));
    hosting = std::make_shared<TlsHosting>(
        TlsHosting{services, server, std::move(context), Turns(services.io, kHandshakesAtOnce)});
    hosting->make_room = [weak = weak_from_this()](const Remote& remote) {
        const auto self = weak.lock();
        return self && self->make_room(remote);
    };
    return {};
}

void Https::Impl::close(Spot& place) {
    error_code ignored;
    if (place.listening) place.listening->acceptor.close(ignored);
    place.listening.reset();
}

void Https::Impl::open(Spot& place, UniqueFd fd) {
    const auto protocol = place.address->host.contains(':') ? Tcp::v6() : Tcp::v4();
    place.listening = std::make_shared<Listening>(Listening{Tcp::acceptor(services.io), place.metrics_only});
    place.listening->acceptor.assign(protocol, fd.release());
    asio::co_spawn(services.io, accept_loop(shared_from_this(), place.listening), asio::detached);
}

Result<> Https::Impl::move_to(Spot& place, const std::optional<profiles::ListenAddress>& address, When when) {
    if (place.address == address) return {};
    const auto before = place.address;
    if (address) {
        LX_TRY(prepare());
        auto fd = listen_tcp(*address, when == When::boot);
        // The place's own old socket may be what is in the way.
        const bool own = !fd && fd.error().sys_errno == EADDRINUSE && before && before->port == address->port;
        if (own) {
            close(place);
            fd = listen_tcp(*address, when == When::boot);
            if (!fd) {
                if (auto back = listen_tcp(*before, /*freebind=*/true)) open(place, *std::move(back));
            }
        }
        if (!fd) return std::unexpected(std::move(fd).error());
        close(place);
        place.address = address;
        open(place, *std::move(fd));
        log::info("serving HTTPS", {{"address", profiles::host_and_port(address->host, address->port)}});
    } else {
        close(place);
        place.address.reset();
    }
    known_at = {};
    return {};
}

void Https::Impl::trust(std::set<std::string> proxies, AuthorityPtr authority) {
    hosting->proxies = std::move(proxies);
    const auto before = hosting->authority;
    if (before && authority && *before == *authority) return;
    hosting->authority = std::move(authority);
    for (Tunnel* tunnel : hosting->tunnels) {
        if (before && tunnel->remote().vouched_by.lock() == before) tunnel->end_soon();
    }
}

/// Whoever has proved nothing yet goes first, so that an honest client gets through.
bool Https::Impl::make_room(const Remote& remote) {
    const std::string& host = remote.counted_as;
    const auto count = [this](auto&& wanted_one) {
        return static_cast<std::size_t>(std::ranges::count_if(hosting->tunnels, wanted_one));
    };
    const auto shaking = [](const Tunnel* tunnel) { return tunnel->is_shaking(); };
    const auto shaking_here = [&](const Tunnel* tunnel) {
        return tunnel->is_shaking() && tunnel->remote().counted_as == host;
    };
    const auto untrusted_here = [&](const Tunnel* tunnel) {
        return !tunnel->is_shaking() && !tunnel->was_trusted() && tunnel->remote().counted_as == host;
    };
    const auto drop_first = [this](auto&& wanted_one) {
        const auto found = std::ranges::find_if(hosting->tunnels, wanted_one);
        if (found != hosting->tunnels.end()) (*found)->abort();
    };
    if (count(untrusted_here) >= kUntrustedPerHost) return false;
    if (count(shaking_here) >= kShakingPerHost) {
        drop_first([&](const Tunnel* tunnel) { return shaking_here(tunnel) && !tunnel->is_aborted(); });
    } else if (count(shaking) >= kShaking) {
        drop_first([&](const Tunnel* tunnel) { return shaking(tunnel) && !tunnel->is_aborted(); });
    }
    return true;
}

void Https::Impl::admit(Tcp::socket socket, bool metrics_only) {
    error_code error;
    const auto peer = socket.remote_endpoint(error);
    if (error) return;  // gone again
    const std::string host = host_of(peer);
    // Of a proxy the room is made when it has said for whom it comes.
    auto remote = std::make_shared<Remote>();
    remote->host = host;
    remote->counted_as = counted_host(host);
    if (!hosting->proxies.contains(host) && !make_room(*remote)) return;
    watch_over(socket.native_handle());
    remote->address = profiles::host_and_port(host, peer.port());
    remote->metrics_only = metrics_only;
    auto tunnel = std::make_shared<Tunnel>(hosting, std::move(socket), std::move(remote));
    asio::co_spawn(services.io, Tunnel::run(std::move(tunnel)), asio::detached);
    if (std::exchange(sweeping, true)) return;
    asio::co_spawn(services.io, sweep_loop(shared_from_this()), asio::detached);
}

asio::awaitable<void> Https::Impl::accept_loop(std::shared_ptr<Impl> self,
                                               std::shared_ptr<Listening> listening) {
    asio::steady_timer pause(self->services.io);
    auto& acceptor = listening->acceptor;
    for (;;) {
        error_code error;
        auto pending = acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
        Tcp::socket socket = co_await std::move(pending);
        if (!acceptor.is_open() || error == asio::error::operation_aborted) co_return;
        if (!error) {
            self->admit(std::move(socket), listening->metrics_only);
            continue;
        }
        log::warn("cannot accept a connection", {{"error", error.message()}});
        pause.expires_after(std::chrono::milliseconds(100));
        auto wait = pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
    }
}

/// Once a second while there are connections.
asio::awaitable<void> Https::Impl::sweep_loop(std::shared_ptr<Impl> self) {
    while (!self->hosting->tunnels.empty() && !self->closed) {
        error_code error;
        self->sweep_timer.expires_after(std::chrono::seconds(1));
        auto wait = self->sweep_timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
        auto looking = self->lapsed.look(self->hosting);
        co_await std::move(looking);
        const auto time = std::chrono::steady_clock::now();
        for (Tunnel* tunnel : self->hosting->tunnels) {
            if (tunnel->deadline() <= time) tunnel->abort();
        }
    }
    self->sweeping = false;
}

Https::Https(Services& services, const Router& router, auth::ServerCertificate certificate)
    : impl_(std::make_shared<Impl>(services, router, std::move(certificate))) {}

Https::~Https() { close(); }

Result<> Https::listen(const api::ConfigMap& config, When when) {
    LX_TRY_AS(auto authority, wanted_authority(impl_->services.root, config, when));
    const auto before = impl_->api.address;
    LX_TRY(impl_->move_to(impl_->api, wanted_address(config, "core.https_address"), when));
    auto moved = impl_->move_to(impl_->metrics, wanted_address(config, "core.metrics_address"), when);
    if (!moved) {
        if (auto back = impl_->move_to(impl_->api, before, When::boot); !back)
            log::warn("cannot listen again", {{"error", back.error().message}});
        return moved;
    }
    if (impl_->hosting) impl_->trust(trusted_proxies(config), std::move(authority));
    return {};
}

bool Https::is_listening() const { return impl_->api.address.has_value(); }

std::vector<std::string> Https::addresses() const {
    if (!impl_->api.address) return {};
    const auto time = std::chrono::steady_clock::now();
    if (impl_->known_at + kAddressesGoodFor < time) {
        impl_->known_addresses = reachable_addresses(*impl_->api.address);
        impl_->known_at = time;
    }
    return impl_->known_addresses;
}

const auth::Certificate& Https::certificate() const { return impl_->certificate.certificate; }

Result<> Https::replace_certificate(auth::ServerCertificate certificate) {
    if (impl_->hosting) {
        LX_TRY_AS(impl_->hosting->context, make_tls_context(certificate));
    }
    impl_->certificate = std::move(certificate);
    return {};
}

void Https::drop(const std::string& fingerprint, const Remote* except) {
    if (!impl_->hosting) return;
    for (Tunnel* tunnel : impl_->hosting->tunnels) {
        const auto& remote = tunnel->remote();
        const bool has_it = remote.certificate && remote.certificate->fingerprint == fingerprint;
        if (has_it && &remote != except) tunnel->abort();
    }
}

void Https::drain() {
    Impl::close(impl_->api);
    Impl::close(impl_->metrics);
    impl_->server.drain();
}

void Https::close() {
    drain();
    impl_->closed = true;
    impl_->server.close();
    impl_->sweep_timer.cancel();
    if (!impl_->hosting) return;
    for (Tunnel* tunnel : impl_->hosting->tunnels) tunnel->abort();
}

}  // namespace lxmgr::rest
