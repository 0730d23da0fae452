#include "lxd-daemon/auth/password.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>

#include "lxd-daemon/auth/openssl.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::auth {
namespace {

constexpr std::size_t kSaltDigits = 64;
constexpr std::uint64_t kN = 16384, kR = 8, kP = 1, kMaxMemory = std::uint64_t{64} << 20;

/// Hex digits of salt and key together.
Result<std::string> derive(const std::string& password, const std::string& salt) {
    std::array<unsigned char, 64> key{};
    if (EVP_PBE_scrypt(password.data(), password.size(), reinterpret_cast<const unsigned char*>(salt.data()),
                       salt.size(), kN, kR, kP, kMaxMemory, key.data(), key.size()) != 1) {
        return openssl_error("Hashing the password");
    }
    return salt + to_hex({reinterpret_cast<const char*>(key.data()), key.size()});
}

}  // namespace

Result<std::string> hash_password(const std::string& password) {
    return derive(password, random_hex(kSaltDigits / 2));
}

bool is_password(const std::string& password, const std::string& hash) {
    if (hash.size() <= kSaltDigits) return false;
    const auto derived = derive(password, hash.substr(0, kSaltDigits));
    return derived && is_same_secret(*derived, hash);
}

bool is_same_secret(const std::string& one, const std::string& other) {
    return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace lxmgr::auth
