#pragma once
#include <vector>

#include "lxd-daemon/instances/image_store.h"
#include "lxd-daemon/rest/body_store.h"
#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {

/// Where the files of images come in, which are not moved to another volume meanwhile. Errors:
/// `unavailable`.
Result<BodyDirectory> image_upload_directory(const Services& services);

/// What POST /1.0/images says in headers and parts: X-LXD-filename, -properties, -public, -profiles,
/// -fingerprint (or X-Incus-...), and the files of an octet-stream or of the multipart parts `metadata` and
/// `rootfs`. Errors: `bad_request`.
Result<instances::ImageUpload> read_image_upload(const Request& request);

}  // namespace lxmgr::rest
