#pragma once
#include <cstdint>
#include <stop_token>
#include <string>

#include "images/image.h"

/// Looks through image files without unpacking them: every rule that an entry can break by itself is checked
/// here, so that a hostile image is refused before it is in the store.
namespace lxmgr::images {

/// True when the file begins with squashfs's magic number.
Result<bool> is_squashfs(const std::string& path);

/// Reads the metadata tarball (`unified`: with the root file system in it, which is checked too): exactly one
/// metadata.yaml, templates/ with plain files only, each template that metadata.yaml names. Errors:
/// `bad_request`.
Result<Metadata> scan_metadata(const std::string& path, bool unified, std::stop_token stop);
/// Checks the root file system of a split image: a tarball or squashfs that is whole as far as its
/// directories go and holds at least one entry. Errors: `bad_request`.
Result<> scan_rootfs(const std::string& path, std::stop_token stop);

}  // namespace lxmgr::images
