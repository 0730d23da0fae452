#pragma once
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "images/compressor.h"
#include "images/image.h"
#include "images/sha256.h"
#include "images/tar_writer.h"
#include "lxd-daemon/base/spawn.h"

namespace lxmgr::images {

/// How an image is to be packed: a tarball of one file, or squashfs beside a metadata tarball.
struct ImagePacking {
    bool squashfs = false;
    Compression compression = Compression::gzip;
};
/// "none", "gzip" (or "pigz"), "xz", "zstd" (or "pzstd"), "squashfs"; empty is gzip, as LXD's. Errors:
/// `bad_request`.
Result<ImagePacking> parse_packing(std::string_view name);

struct PackRequest {
    ImagePacking packing;
    std::string prefix;  ///< the new files are prefix.metadata and, of a split image, prefix.rootfs
    Metadata metadata;
    int root_fd = -1;  ///< nothing may write there meanwhile
    /// Bytes of the root file system so far.
    std::function<void(std::uint64_t)> progress;
};
/// Packs a root file system and its metadata, hashed as they are written; the files are durable. On failure
/// nothing is left. Errors: `internal` when the disk is full or squashfs-tools-ng failed, `unavailable` when
/// stop was requested.
Result<ImportedImage> make_image(const PackRequest& request, const std::stop_token& stop);

}  // namespace lxmgr::images
