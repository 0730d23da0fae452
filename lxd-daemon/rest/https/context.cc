#include "lxd-daemon/rest/https/context.h"

#include <openssl/pem.h>

#include "lxd-daemon/auth/openssl.h"

namespace lxmgr::rest {
namespace {

constexpr long kMaxClientChain = 32L << 10;

/// No chain is built: trust is in the leaf's fingerprint.
int accept_any(X509_STORE_CTX*, void*) { return 1; }

/// HTTP/1.1 is what there is; a client that offers something else only is served it too, as Go's does.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                    unsigned in_size, void*) {
    constexpr std::string_view kWanted = "http/1.1";
    for (unsigned at = 0; at < in_size; at += 1U + in[at]) {
        if (at + 1U + in[at] > in_size) break;
        if (std::string_view(reinterpret_cast<const char*>(in + at + 1), in[at]) != kWanted) continue;
        *out = in + at + 1;
        *out_size = in[at];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

bool add_chain(SSL_CTX* context, const std::string& pem) {
    const auth::BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const auth::X509Ptr leaf(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
    if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) return false;
    for (;;) {
        const auth::X509Ptr next(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
        ERR_clear_error();
        if (!next) return true;
        if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) return false;
    }
}

}  // namespace

Result<TlsContext> make_tls_context(const auth::ServerCertificate& certificate) {
    const TlsContext context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    LX_TRY_AS(const auto key, auth::read_key_pem(certificate.key_pem));
    if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
        !add_chain(context.get(), certificate.certificate.pem) ||
        SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
        return auth::openssl_error("Preparing TLS");
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_cert_verify_callback(context.get(), accept_any, nullptr);
    SSL_CTX_set_max_cert_list(context.get(), kMaxClientChain);
    SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
    // A resumed session would outlive the trust in its certificate.
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context.get(), 0);
    // HTTP says itself where a message ends.
    SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_TICKET);
    SSL_CTX_set_read_ahead(context.get(), 1);  // the header of a record and its body in one call
    SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

}  // namespace lxmgr::rest
