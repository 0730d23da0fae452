#include "images/fingerprint.h"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "images/sha256.h"

namespace lxmgr::images {
namespace {

Result<> add_file(Sha256& digest, const std::string& path, const std::stop_token& stop) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    std::vector<char> buffer(std::size_t{256} << 10);
    for (;;) {
        if (stop.stop_requested()) return fail(Status::unavailable, "Reading the image was cancelled");
        const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("Reading", path);
        if (n == 0) return {};
        LX_TRY(digest.add({buffer.data(), static_cast<std::size_t>(n)}));
    }
}

}  // namespace

Result<std::string> fingerprint_of(const ImageFiles& files, const std::stop_token& stop) {
    LX_TRY_AS(Sha256 digest, Sha256::open());
    LX_TRY(add_file(digest, files.metadata_path, stop));
    if (!files.rootfs_path.empty()) LX_TRY(add_file(digest, files.rootfs_path, stop));
    return digest.finish();
}

}  // namespace lxmgr::images
