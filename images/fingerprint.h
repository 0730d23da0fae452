#pragma once
#include <stop_token>
#include <string>

#include "images/image.h"

namespace lxmgr::images {

/// The fingerprint of an image: SHA-256 of the unified file, or of the metadata file followed by the root
/// file system, as 64 lower-case hex digits. Errors: `unavailable` when stop was requested.
Result<std::string> fingerprint_of(const ImageFiles& files, const std::stop_token& stop);

}  // namespace lxmgr::images
