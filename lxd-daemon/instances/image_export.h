#pragma once
#include <string>
#include <vector>

#include "images/image.h"
#include "lxd-daemon/base/pieces.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::instances {

/// An image as GET .../export sends it: the file of a unified image, or one multipart/form-data body with the
/// parts `metadata` and `rootfs` of a split one.
struct ImageExport {
    std::vector<Piece> pieces;
    std::string content_type;
    std::string filename;  ///< of a unified image; empty for a split one
};

/// Blocking. Who has it may send it also when the image is deleted meanwhile.
Result<ImageExport> open_image_export(const std::string& fingerprint, const images::ImageFiles& files);

}  // namespace lxmgr::instances
