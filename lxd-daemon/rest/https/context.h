#pragma once
#include <openssl/ssl.h>

#include <memory>

#include "lxd-daemon/auth/certificate.h"

namespace lxmgr::rest {

using TlsContext = std::shared_ptr<SSL_CTX>;

/// TLS 1.3 with the server's certificate. Any client certificate passes the handshake, which proves that the
/// client has its key; whether it is trusted is asked with each request. Errors: `internal`.
Result<TlsContext> make_tls_context(const auth::ServerCertificate& certificate);

}  // namespace lxmgr::rest
