#include "lxd-daemon/rest/https/dial.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "images/web/address.h"
#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/auth/openssl.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/https/watch_over.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

constexpr std::chrono::seconds kAddressTime{10}, kHostTime{20};
constexpr std::chrono::seconds kDialHandshakeTime{10};
/// Several records in one call.
constexpr std::size_t kTlsReadBytes = std::size_t{1} << 17;

Result<UniqueFd> dial_address(const addrinfo& address, std::chrono::milliseconds limit) {
    UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail_errno("socket", "");
    if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return fd;
    if (errno != EINPROGRESS) return fail_errno("connect", "");
    pollfd waited{fd.get(), POLLOUT, 0};
    int failed = ETIMEDOUT;
    socklen_t size = sizeof failed;
    if (::poll(&waited, 1, static_cast<int>(limit.count())) > 0)
        ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &failed, &size);
    if (failed == 0) return fd;
    errno = failed;
    return fail_errno("connect", "");
}

using SslContext = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

/// @param pinned  the certificate is known: to read all that are trusted takes longer than the handshake
Result<TlsStream::SslOwner> prepare_tls(int tcp, bool pinned) {
    const SslContext context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1)
        return auth::openssl_error("Preparing TLS");
    if (!pinned) SSL_CTX_set_default_verify_paths(context.get());
    SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context.get(), 1);
    SSL_CTX_set_default_read_buffer_len(context.get(), kTlsReadBytes);
    TlsStream::SslOwner ssl(SSL_new(context.get()), SSL_free);
    if (!ssl || SSL_set_fd(ssl.get(), tcp) != 1) return auth::openssl_error("Preparing TLS");
    return ssl;
}

Result<> trust(SSL* ssl, const std::string& certificate, const std::string& host) {
    in6_addr literal{};
    const bool is_name = ::inet_pton(AF_INET, host.c_str(), &literal) != 1 &&
                         ::inet_pton(AF_INET6, host.c_str(), &literal) != 1;
    if (is_name) SSL_set_tlsext_host_name(ssl, host.c_str());
    if (!certificate.empty()) return {};  // compared after the handshake
    X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl);
    const int set = is_name ? X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), 0)
                            : X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str());
    SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
    return set == 1 ? Result<>{} : Result<>(fail(Status::internal, "Preparing TLS failed"));
}

/// The server has the certificate that the client said.
Result<> check_pinned(SSL* ssl, const std::string& certificate) {
    if (certificate.empty()) return {};
    LX_TRY_AS(const auto wanted, auth::read_certificate_pem(certificate));
    const auth::X509Ptr shown(SSL_get1_peer_certificate(ssl));
    if (shown && X509_cmp(shown.get(), wanted.get()) == 0) return {};
    return fail(Status::bad_request, "The other server has another certificate than was said");
}

/// In OpenSSL's words.
std::string why_not_shaken(SSL* ssl) {
    if (const long verified = SSL_get_verify_result(ssl); verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    const char* const reason = ERR_reason_error_string(ERR_peek_error());
    return reason != nullptr ? reason : "the connection was lost, or took too long";
}

}  // namespace

Result<ServerUrl> parse_server_url(const std::string& url) {
    constexpr std::string_view kScheme = "https://";
    const auto bad = [] { return fail(Status::bad_request, "The other server's operation is no https URL"); };
    if (!url.starts_with(kScheme) || has_control_chars(url) || url.contains(' ') || url.contains('@'))
        return bad();
    std::string rest = url.substr(kScheme.size());
    rest.resize(std::min(rest.size(), rest.find_first_of("?#")));
    const auto slash = rest.find('/');
    if (slash == std::string::npos) return bad();
    ServerUrl out{.host = rest.substr(0, slash), .port = "443", .path = rest.substr(slash)};
    const auto colon = out.host.rfind(':');
    const auto bracket = out.host.rfind(']');
    if (colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) {
        out.port = out.host.substr(colon + 1);
        out.host.resize(colon);
    }
    if (out.host.starts_with('[') && out.host.ends_with(']'))
        out.host = out.host.substr(1, out.host.size() - 2);
    const auto port = parse_uint(out.port);
    if (out.host.empty() || !port || *port == 0 || *port > 65535) return bad();
    return out;
}

Result<UniqueFd> dial_tcp(const ServerUrl& url, Reach reach) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (const int error = ::getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &list); error != 0)
        return fail(Status::bad_request,
                    fmt::format("'{}' is not found: {}", url.host, ::gai_strerror(error)));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
    using std::chrono::milliseconds, std::chrono::steady_clock;
    const auto deadline = steady_clock::now() + kHostTime;
    Result<UniqueFd> dialled = fail(Status::bad_request, "no address");
    for (const addrinfo* one = list; one != nullptr && !dialled; one = one->ai_next) {
        if (reach == Reach::elsewhere && images::is_local_address(one->ai_addr))
            return fail(Status::forbidden,
                        fmt::format("'{}' leads to a loopback or link-local address, where "
                                    "a restricted certificate must not lead this server",
                                    url.host));
        const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
        if (left.count() <= 0) break;
        dialled = dial_address(*one, std::min<milliseconds>(left, kAddressTime));
    }
    if (dialled) {
        watch_over(dialled->get());
        return dialled;
    }
    return fail(Status::bad_request, fmt::format("'{}' port {} cannot be reached: {}", url.host, url.port,
                                                 dialled.error().message));
}

asio::awaitable<Result<TlsStream>> dial_tls(asio::io_context& io, UniqueFd tcp, ServerUrl url,
                                            std::string certificate) {
    LX_CO_TRY_AS(auto ssl, prepare_tls(tcp.get(), !certificate.empty()));
    LX_CO_TRY(trust(ssl.get(), certificate, url.host));
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    ::getpeername(tcp.get(), reinterpret_cast<sockaddr*>(&peer), &size);
    const auto protocol = peer.ss_family == AF_INET6 ? Tcp::v6() : Tcp::v4();
    // The timer may find it given away already.
    const auto stream = std::make_shared<TlsStream>(Tcp::socket(io, protocol, tcp.release()), std::move(ssl));
    asio::steady_timer limit(io, kDialHandshakeTime);
    limit.async_wait([stream](error_code cancelled) {
        error_code ignored;
        if (!cancelled) stream->close(ignored);
    });
    auto shaking = stream->shake_hands();
    const bool shaken = co_await std::move(shaking);
    limit.cancel();
    if (!shaken)
        co_return fail(Status::bad_request, fmt::format("TLS with '{}' port {}: {}", url.host, url.port,
                                                        why_not_shaken(stream->ssl())));
    LX_CO_TRY(check_pinned(stream->ssl(), certificate));
    co_return std::move(*stream);
}

}  // namespace lxmgr::rest
