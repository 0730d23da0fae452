#include "lxmgr/server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <thread>

#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/auth/openssl.h"
#include "lxmgr/http.h"
#include "lxmgr/tls_pump.h"

namespace lxmgr::cli {
namespace {

constexpr int kConnectTimeoutMs = 10'000;
constexpr int kHandshakeSeconds = 15;

Result<UniqueFd> connect_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return fail(Status::bad_request, fmt::format("Socket path '{}' is too long", path));
    std::memcpy(address.sun_path, path.data(), path.size());
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return fail_errno("socket", path);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return std::unexpected(connect_error(path, errno));
    return fd;
}

std::string url_of_server(const Server& server) {
    return server.host.contains(':') ? fmt::format("https://[{}]:{}", server.host, server.port)
                                     : fmt::format("https://{}:{}", server.host, server.port);
}

std::unexpected<Error> unreachable(const Server& server, std::string_view why) {
    return fail(Status::unavailable, fmt::format("Cannot reach {}: {}", url_of_server(server), why));
}

bool finish_connecting(int fd) {
    pollfd waiting{fd, POLLOUT, 0};
    if (::poll(&waiting, 1, kConnectTimeoutMs) == 0) {
        errno = ETIMEDOUT;
        return false;
    }
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    errno = error;
    return error == 0;
}

/// A blocking socket.
Result<UniqueFd> connect_tcp(const Server& server) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* first = nullptr;
    const int looked_up = ::getaddrinfo(server.host.c_str(), server.port.c_str(), &hints, &first);
    if (looked_up != 0) return unreachable(server, ::gai_strerror(looked_up));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(first, ::freeaddrinfo);
    int error = 0;
    for (const addrinfo* at = first; at != nullptr; at = at->ai_next) {
        UniqueFd fd(::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!fd) continue;
        const bool connected = ::connect(fd.get(), at->ai_addr, at->ai_addrlen) == 0 ||
                               (errno == EINPROGRESS && finish_connecting(fd.get()));
        if (connected) {
            const int flags = ::fcntl(fd.get(), F_GETFL);
            ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK);
            return fd;
        }
        error = errno;
    }
    return unreachable(server, std::strerror(error));
}

std::string leaf_fingerprint(X509* certificate) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    if (size <= 0) return "";
    const auto parsed = auth::parse_der({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)});
    OPENSSL_free(der);
    return parsed ? parsed->fingerprint : "";
}

/// Trust is in the one certificate that was pinned; before it is seen, the client shows nothing of itself.
int check_pinned(X509_STORE_CTX* store, void* wanted) {
    X509* leaf = X509_STORE_CTX_get0_cert(store);
    const auto& pinned = *static_cast<const std::string*>(wanted);
    const bool right = leaf != nullptr && leaf_fingerprint(leaf) == pinned;
    if (!right) X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return right ? 1 : 0;
}

int accept_any_leaf(X509_STORE_CTX*, void*) { return 1; }

Result<> use_own_certificate(SSL_CTX* context, const Server& server) {
    if (server.certificate_pem.empty()) return {};
    LX_TRY_AS(const auto certificate, auth::read_certificate_pem(server.certificate_pem));
    LX_TRY_AS(const auto key, auth::read_key_pem(server.key_pem));
    if (SSL_CTX_use_certificate(context, certificate.get()) != 1 ||
        SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
        return auth::openssl_error("Using the client's certificate");
    }
    return {};
}

struct Tls {
    UniqueFd tcp;
    SslPtr ssl{nullptr, SSL_free};
};

/// @param pinned  empty: any certificate will do
Result<Tls> shake_hands(const Server& server, std::string pinned, bool with_own) {
    Tls out;
    LX_TRY_AS(out.tcp, connect_tcp(server));
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                    SSL_CTX_free);
    if (!context) return auth::openssl_error("Preparing TLS");
    SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
    SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_cert_verify_callback(context.get(), pinned.empty() ? accept_any_leaf : check_pinned, &pinned);
    if (with_own) LX_TRY(use_own_certificate(context.get(), server));
    const timeval limit{kHandshakeSeconds, 0};
    ::setsockopt(out.tcp.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const int on = 1;
    ::setsockopt(out.tcp.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    out.ssl.reset(SSL_new(context.get()));
    if (!out.ssl || SSL_set_fd(out.ssl.get(), out.tcp.get()) != 1)
        return auth::openssl_error("Preparing TLS");
    if (SSL_connect(out.ssl.get()) == 1) return out;
    const bool refused = SSL_get_verify_result(out.ssl.get()) == X509_V_ERR_CERT_REJECTED;
    ERR_clear_error();
    if (refused) {
        return fail(Status::forbidden,
                    fmt::format("{} shows another certificate than the one it was added with; if that is "
                                "right, remove the remote and add it again",
                                url_of_server(server)));
    }
    return unreachable(server, "it does not speak TLS 1.3");
}

}  // namespace

Result<UniqueFd> connect_to(const Server& server) {
    if (!server.socket_path.empty()) return connect_unix(server.socket_path);
    LX_TRY_AS(Tls tls, shake_hands(server, server.fingerprint, /*with_own=*/true));
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return fail_errno("socketpair", url_of_server(server));
    UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    // It ends with either side, or with the program.
    std::thread(pump_tls, std::move(tls.ssl), std::move(tls.tcp), std::move(theirs)).detach();
    return ours;
}

Result<std::string> fetch_certificate(const Server& server) {
    LX_TRY_AS(const Tls tls, shake_hands(server, "", /*with_own=*/false));
    const auth::X509Ptr peer(SSL_get1_peer_certificate(tls.ssl.get()));
    if (!peer) return unreachable(server, "it shows no certificate");
    const auth::BioPtr out(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(out.get(), peer.get());
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    return std::string(text, static_cast<std::size_t>(size));
}

}  // namespace lxmgr::cli
