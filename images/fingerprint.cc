#include "images/fingerprint.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <vector>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

struct FreeDigest {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

Result<> add_file(EVP_MD_CTX* digest, const std::string& path, const std::stop_token& stop) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    std::vector<char> buffer(std::size_t{256} << 10);
    for (;;) {
        if (stop.stop_requested()) return fail(Status::unavailable, "Reading the image was cancelled");
        const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("Reading", path);
        if (n == 0) return {};
        if (EVP_DigestUpdate(digest, buffer.data(), static_cast<std::size_t>(n)) != 1) {
            return fail(Status::internal, "SHA-256 failed");
        }
    }
}

}  // namespace

Result<std::string> fingerprint_of(const ImageFiles& files, const std::stop_token& stop) {
    const std::unique_ptr<EVP_MD_CTX, FreeDigest> digest(EVP_MD_CTX_new());
    if (!digest || EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1) {
        return fail(Status::internal, "SHA-256 is not available");
    }
    LX_TRY(add_file(digest.get(), files.metadata_path, stop));
    if (!files.rootfs_path.empty()) LX_TRY(add_file(digest.get(), files.rootfs_path, stop));
    std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
    unsigned size = 0;
    if (EVP_DigestFinal_ex(digest.get(), hash.data(), &size) != 1)
        return fail(Status::internal, "SHA-256 failed");
    return to_hex(std::string_view(reinterpret_cast<const char*>(hash.data()), size));
}

}  // namespace lxmgr::images
