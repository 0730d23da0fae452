#include "lxd-daemon/api/certificate.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/base/base64.h"

namespace lxmgr::api {

nlohmann::json to_json(const Certificate& certificate) {
    auto out = etag_fields(certificate);
    out["fingerprint"] = certificate.fingerprint;
    return out;
}

nlohmann::json etag_fields(const Certificate& certificate) {
    const auto& fields = certificate.fields;
    return {{"name", fields.name},
            {"type", fields.type},
            {"restricted", fields.restricted},
            {"projects", fields.projects},
            {"certificate", fields.certificate}};
}

nlohmann::json to_json(const CertificatesPost& post) {
    auto out = etag_fields({post.fields, ""});
    out["password"] = "";
    out["token"] = post.token;
    return out;
}

Result<CertificatePut> patch_certificate(const nlohmann::json& body, CertificatePut current) {
    Reader reader(body);
    reader.text("name", current.name)
        .text("type", current.type)
        .flag("restricted", current.restricted)
        .list("projects", current.projects)
        .text("certificate", current.certificate);
    LX_TRY(reader.done());
    return current;
}

Result<CertificatesPost> parse_certificates_post(const nlohmann::json& body) {
    CertificatesPost out;
    LX_TRY_AS(out.fields, patch_certificate(body, {}));
    std::string trust_token;
    Reader reader(body);
    LX_TRY(
        reader.text("password", out.secret).text("trust_token", trust_token).flag("token", out.token).done());
    if (!trust_token.empty()) out.secret = trust_token;
    if (out.fields.type.empty()) out.fields.type = "client";
    return out;
}

std::string token_secret(const std::string& text) {
    constexpr std::size_t kMaxToken = std::size_t{64} << 10;
    if (text.size() > kMaxToken) return "";
    const auto decoded = from_base64(text);
    if (!decoded) return "";
    const auto parsed = parse_json(*decoded);
    if (!parsed || !parsed->is_object()) return "";
    std::string secret;
    if (!Reader(*parsed).text("secret", secret).done()) return "";
    return secret;
}

}  // namespace lxmgr::api
