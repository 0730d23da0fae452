#pragma once
#include <cstdint>
#include <string>

#include "images/image.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::instances {

/// An image as GET .../export sends it: the file of a unified image, or one multipart/form-data body with the
/// parts `metadata` and `rootfs` of a split one.
struct ImageExport {
    UniqueFd fd;  ///< positioned at 0
    std::uint64_t size_bytes = 0;
    std::string content_type;
    std::string filename;  ///< of a unified image; empty for a split one
};

/// Blocking: a split image is put together in an unnamed file below `temp_dir`, which takes its size on disk
/// for as long as the descriptor lives.
Result<ImageExport> open_image_export(const std::string& fingerprint, const images::ImageFiles& files,
                                      const std::string& temp_dir);

}  // namespace lxmgr::instances
