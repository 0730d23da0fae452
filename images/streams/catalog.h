#pragma once
#include <optional>
#include <string>
#include <vector>

#include "images/servers/server.h"
#include "images/streams/products.h"
#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"

namespace lxmgr::images {

struct StreamFile {
    std::string path;  ///< below the server's URL
    std::string sha256;
    std::uint64_t size_bytes = 0;
};

/// A container image that a simplestreams server has.
struct StreamImage : OfferedImage {
    std::vector<std::string> aliases;  ///< of the newest version only, without the architecture
    StreamFile metadata;               ///< or the only file of a unified image
    std::optional<StreamFile> rootfs;
};

/// Every image of the products, the newest and those that LXD prefers first (squashfs before a tarball).
/// Items that say too little (hash, size) or have unusable paths are left out.
std::vector<StreamImage> images_of(const std::vector<StreamProduct>& products);

/// By alias ("24.04", "24.04/arm64"), which without an architecture is of `architecture`; by fingerprint, or
/// by a beginning of it that is of one image only. Null: there is none.
const StreamImage* find_stream_image(const std::vector<StreamImage>& images, const std::string& name,
                                     const std::string& architecture);

/// A path of a list that may become a part of a URL.
bool is_usable_path(const std::string& path);

/// The names under which it can be asked for, "24.04" and "24.04/amd64".
std::vector<std::string> names_of(const StreamImage& image, const std::string& architecture);

}  // namespace lxmgr::images
