#include "lxd-daemon/auth/certificate.h"

#include <openssl/pem.h>

#include <array>
#include <ctime>

#include "lxd-daemon/auth/openssl.h"
#include "lxd-daemon/base/base64.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::auth {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{64} << 10;
constexpr std::string_view kPemBegin = "-----BEGIN CERTIFICATE-----";

std::unexpected<Error> not_a_certificate() {
    return fail(Status::bad_request, "That is not a certificate (X.509, as PEM or as DER in base64)");
}

Result<std::int64_t> seconds(const ASN1_TIME* time) {
    std::tm parts{};
    if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return not_a_certificate();
    return ::timegm(&parts);
}

std::string to_pem(X509* certificate) {
    const BioPtr out(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(out.get(), certificate);
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

Result<Certificate> describe(X509* certificate) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned size = 0;
    if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return not_a_certificate();
    Certificate out;
    out.fingerprint = to_hex({reinterpret_cast<const char*>(digest.data()), size});
    out.pem = to_pem(certificate);
    LX_TRY_AS(out.not_before, seconds(X509_get0_notBefore(certificate)));
    LX_TRY_AS(out.not_after, seconds(X509_get0_notAfter(certificate)));
    return out;
}

/// Clients' keys stay theirs: a PEM with a password would ask at the terminal.
int no_password(char*, int, int, void*) { return -1; }

}  // namespace

std::unexpected<Error> openssl_error(const std::string& doing) {
    std::array<char, 256> text{};
    ERR_error_string_n(ERR_get_error(), text.data(), text.size());
    ERR_clear_error();
    return fail(Status::internal, doing + ": " + text.data());
}

bool Certificate::is_valid_now() const {
    const auto time = static_cast<std::int64_t>(std::time(nullptr));
    return not_before <= time && time <= not_after;
}

Result<X509Ptr> read_certificate_pem(const std::string& pem) {
    const BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    X509Ptr found(PEM_read_bio_X509(in.get(), nullptr, no_password, nullptr));
    ERR_clear_error();
    if (!found) return not_a_certificate();
    return found;
}

Result<KeyPtr> read_key_pem(const std::string& pem) {
    const BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    KeyPtr found(PEM_read_bio_PrivateKey(in.get(), nullptr, no_password, nullptr));
    ERR_clear_error();
    if (!found) return fail(Status::bad_request, "That is not a private key in PEM without a password");
    return found;
}

Result<Certificate> parse_der(std::string_view der) {
    if (der.empty() || der.size() > kMaxBytes) return not_a_certificate();
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    const auto* const end = at + der.size();
    const X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    ERR_clear_error();
    if (!certificate || at != end) return not_a_certificate();
    return describe(certificate.get());
}

Result<Certificate> parse_certificate(std::string_view text) {
    if (text.size() > kMaxBytes) return not_a_certificate();
    if (text.find(kPemBegin) != std::string_view::npos) {
        LX_TRY_AS(const X509Ptr certificate, read_certificate_pem(std::string(text)));
        return describe(certificate.get());
    }
    const auto der = from_base64(trim(text));
    if (!der) return not_a_certificate();
    return parse_der(*der);
}

Result<ServerCertificate> parse_key_pair(const KeyPair& pair) {
    ServerCertificate out;
    LX_TRY_AS(const X509Ptr certificate, read_certificate_pem(pair.certificate_pem));
    LX_TRY_AS(const KeyPtr key, read_key_pem(pair.key_pem));
    if (X509_check_private_key(certificate.get(), key.get()) != 1) {
        ERR_clear_error();
        return fail(Status::bad_request, "The private key does not belong to the certificate");
    }
    LX_TRY_AS(out.certificate, describe(certificate.get()));
    out.certificate.pem = pair.certificate_pem;  // with the chain behind it
    out.key_pem = pair.key_pem;
    return out;
}

}  // namespace lxmgr::auth
