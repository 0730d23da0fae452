#pragma once
#include <openssl/ssl.h>

#include <memory>

#include "lxd-daemon/base/own.h"

namespace lxmgr::cli {

using SslPtr = std::unique_ptr<SSL, decltype(&SSL_free)>;

/// Carries bytes between a TLS connection and a local socket until one of them ends.
void pump_tls(SslPtr ssl, UniqueFd tcp, UniqueFd local);

}  // namespace lxmgr::cli
