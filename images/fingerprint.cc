#include "images/fingerprint.h"

#include "images/file_bytes.h"
#include "images/sha256.h"

namespace lxmgr::images {
namespace {

Result<> add_file(Sha256& digest, const std::string& path, const std::stop_token& stop) {
    LX_TRY_AS(FileBytes file, FileBytes::open(path));
    for (;;) {
        LX_TRY_AS(const std::string_view bytes, file.next(stop));
        if (bytes.empty()) return {};
        LX_TRY(digest.add(bytes));
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
