#include "images/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

std::unexpected<Error> sha256_failed() { return fail(Status::internal, "SHA-256 failed"); }

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Result<Sha256> Sha256::open() {
    Sha256 out;
    out.context_.reset(EVP_MD_CTX_new());
    LX_TRY(out.restart());
    return out;
}

Result<> Sha256::restart() {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) return sha256_failed();
    return {};
}

Result<> Sha256::add(std::string_view bytes) {
    if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) return sha256_failed();
    return {};
}

Result<std::string> Sha256::finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
    unsigned size = 0;
    if (EVP_DigestFinal_ex(context_.get(), hash.data(), &size) != 1) return sha256_failed();
    return to_hex(std::string_view(reinterpret_cast<const char*>(hash.data()), size));
}

bool is_sha256(std::string_view text) {
    return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace lxmgr::images
