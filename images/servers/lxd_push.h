#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "images/web/web.h"

namespace lxmgr::images {

/// An image for another LXD, Incus or lxmgr server that waits for it.
struct ImagePush {
    std::string target;  ///< the server's https URL
    std::string secret;  ///< of the token that it has made for this image
    std::string project;
    std::string fingerprint, filename;
    std::vector<std::string> profiles;
    WebUpload body;  ///< as GET .../export gives it
    std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

/// Returns when the server says that it has the image. Errors: `bad_request` with what the server says, those
/// of Web.
Result<> push_image(Web& web, const ImagePush& push);

}  // namespace lxmgr::images
