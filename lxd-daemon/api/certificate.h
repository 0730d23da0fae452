#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"

/// Trusted certificates, /1.0/certificates.
namespace lxmgr::api {

/// What PUT sets; `certificate` is PEM, or DER in base64.
struct CertificatePut {
    std::string name;
    std::string type;
    bool restricted = false;
    std::vector<std::string> projects;
    std::string certificate;
};
struct Certificate {
    CertificatePut fields;
    std::string fingerprint;
};
nlohmann::json to_json(const Certificate& certificate);
nlohmann::json etag_fields(const Certificate& certificate);

struct CertificatesPost {
    CertificatePut fields;
    std::string secret;  ///< the trust password or a token: `password`, or `trust_token`
    bool token = false;  ///< make a token for another client
};
/// As it is shown in the operation of a token: without the secret.
nlohmann::json to_json(const CertificatesPost& post);
Result<CertificatesPost> parse_certificates_post(const nlohmann::json& body);
/// PATCH, and PUT with the fields that clients of older servers leave out.
Result<CertificatePut> patch_certificate(const nlohmann::json& body, CertificatePut current);

/// The secret within a token: base64 of JSON text. Empty when the text is no token.
std::string token_secret(const std::string& text);

}  // namespace lxmgr::api
