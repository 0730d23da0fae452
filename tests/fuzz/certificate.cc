#include "lxd-daemon/api/certificate.h"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "lxd-daemon/auth/certificate.h"

/// What clients send to become trusted: certificates and tokens. What is read is the same read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lxmgr;
    const std::string text(reinterpret_cast<const char*>(data), size);
    for (const auto& certificate : {auth::parse_der(text), auth::parse_certificate(text)}) {
        if (!certificate) continue;
        const auto again = auth::parse_certificate(certificate->pem);
        if (!again || again->fingerprint != certificate->fingerprint) std::abort();
    }
    (void)api::token_secret(text);
    return 0;
}
