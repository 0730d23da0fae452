#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <array>

#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/auth/openssl.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"

// Making the server's certificate, and where it is kept.
namespace lxmgr::auth {
namespace {

constexpr std::string_view kKeyFollows = "\n# The key:\n";
constexpr std::size_t kMaxFile = std::size_t{60} << 10;
constexpr long kTenYears = 10L * 365 * 86400;

std::string pem_of(EVP_PKEY* key) {
    const BioPtr out(BIO_new(BIO_s_mem()));
    PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

bool add_extension(X509* certificate, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    if (extension == nullptr) return false;
    const bool added = X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

bool add_name(X509_NAME* name, const char* field, const std::string& value) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(value.data());
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, bytes, static_cast<int>(value.size()), -1,
                                      0) == 1;
}

bool set_serial(X509* certificate) {
    std::array<unsigned char, 16> bytes{};
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
    bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7fU) | 0x40U);  // positive, 16 bytes long
    BIGNUM* number = BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr);
    const bool set = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
    BN_free(number);
    return set;
}

/// Only names that a config syntax cannot take apart.
bool is_plain_host(const std::string& host) {
    return !host.empty() && host.size() <= 64 &&
           host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
               std::string::npos;
}

bool fill(X509* certificate, EVP_PKEY* key, Usage usage, const std::string& user, const std::string& host) {
    X509_NAME* name = X509_get_subject_name(certificate);
    const bool server = usage == Usage::server;
    const std::string names = "DNS:" + host + (server ? ",IP:127.0.0.1,IP:::1" : "");
    return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), 0) != nullptr &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), kTenYears) != nullptr &&
           X509_set_pubkey(certificate, key) == 1 && add_name(name, "O", "lxmgr") &&
           add_name(name, "CN", user + "@" + host) && X509_set_issuer_name(certificate, name) == 1 &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, NID_ext_key_usage, server ? "serverAuth" : "clientAuth") &&
           add_extension(certificate, NID_subject_alt_name, names) &&
           X509_sign(certificate, key, EVP_sha384()) != 0;
}

std::string pem_of(X509* certificate) {
    const BioPtr out(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(out.get(), certificate);
    char* text = nullptr;
    const long size = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

}  // namespace

Result<KeyPair> make_key_pair(Usage usage, const std::string& user, const std::string& host) {
    const KeyPtr key(EVP_EC_gen("P-384"));
    const X509Ptr certificate(X509_new());
    const std::string name = is_plain_host(host) ? host : "localhost";
    const std::string who = is_plain_host(user) ? user : "user";
    if (!key || !certificate || !fill(certificate.get(), key.get(), usage, who, name))
        return openssl_error("Making a certificate");
    return KeyPair{pem_of(certificate.get()), pem_of(key.get())};
}

namespace {

/// Both files, one after the other.
Result<> write_pair(const std::string& state_dir, const KeyPair& pair) {
    LX_TRY(write_file_atomic(state_dir + "/server.key", pair.key_pem, 0600));
    return write_file_atomic(state_dir + "/server.crt", pair.certificate_pem, 0644);
}

std::string pending_path(const std::string& state_dir) { return state_dir + "/server.pair.new"; }

/// A replacement that was interrupted after it had been written down is done again.
Result<> finish_replacement(const std::string& state_dir) {
    const std::string pending = pending_path(state_dir);
    if (!path_exists(pending)) return {};
    LX_TRY_AS(const std::string both, read_file(pending, 2 * kMaxFile));
    const auto key = both.find(kKeyFollows);
    if (key == std::string::npos) return fail(Status::internal, "Cannot read " + pending);
    LX_TRY(write_pair(state_dir, {both.substr(0, key), both.substr(key + kKeyFollows.size())}));
    ::unlink(pending.c_str());
    return sync_directory(state_dir);
}

}  // namespace

Result<> store_server_certificate(const std::string& state_dir, const ServerCertificate& pair) {
    const std::string both = pair.certificate.pem + std::string(kKeyFollows) + pair.key_pem;
    LX_TRY(write_file_atomic(pending_path(state_dir), both, 0600));
    failpoint("auth.server_certificate.pending");
    return finish_replacement(state_dir);
}

Result<ServerCertificate> open_server_certificate(const std::string& state_dir, const std::string& host) {
    LX_TRY(finish_replacement(state_dir));
    const std::string certificate_path = state_dir + "/server.crt";
    const std::string key_path = state_dir + "/server.key";
    // The certificate is written last: without it, what there is of a key was never used.
    if (!path_exists(certificate_path)) {
        LX_TRY_AS(const KeyPair made, make_key_pair(Usage::server, "root", host));
        LX_TRY(write_pair(state_dir, made));
    }
    ServerCertificate out;
    LX_TRY_AS(const std::string pem, read_file(certificate_path, kMaxFile));
    auto parsed = parse_certificate(pem);
    if (!parsed) return std::unexpected(in("Reading " + certificate_path, std::move(parsed).error()));
    out.certificate = *std::move(parsed);
    out.certificate.pem = pem;  // with the chain behind it
    LX_TRY_AS(out.key_pem, read_file(key_path, kMaxFile));
    return out;
}

}  // namespace lxmgr::auth
