#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

/// X.509 certificates, as far as trust by fingerprint needs them.
namespace lxmgr::auth {

struct Certificate {
    std::string pem;
    std::string fingerprint;      ///< lower-case hex SHA-256 of the DER form
    std::int64_t not_before = 0;  ///< seconds since the epoch
    std::int64_t not_after = 0;
    [[nodiscard]] bool is_valid_now() const;
};

/// One certificate and nothing behind it. Errors: `bad_request`.
Result<Certificate> parse_der(std::string_view der);
/// The first block of PEM text, or DER in base64 as the clients send it. Errors: `bad_request`.
Result<Certificate> parse_certificate(std::string_view text);

struct KeyPair {
    std::string certificate_pem;
    std::string key_pem;
};
enum class Usage { server, client };
/// A self-signed certificate for ten years with a new key on P-384, as LXD makes them.
/// @param host  behind the user in its common name; a server's alternative name
Result<KeyPair> make_key_pair(Usage usage, const std::string& user, const std::string& host);

/// The server's own: STATE/server.crt and STATE/server.key (mode 0600), made when both are missing.
struct ServerCertificate {
    Certificate certificate;
    std::string key_pem;
};
/// The key is not looked at before somebody listens: parsing one costs milliseconds. Errors: when one of them
/// is missing or no certificate.
Result<ServerCertificate> open_server_certificate(const std::string& state_dir, const std::string& host);
/// Puts another pair into the two files, which stay a pair whatever happens meanwhile. It was checked.
Result<> store_server_certificate(const std::string& state_dir, const ServerCertificate& pair);
/// Checks that they belong together. Errors: `bad_request`.
Result<ServerCertificate> parse_key_pair(const KeyPair& pair);

}  // namespace lxmgr::auth
