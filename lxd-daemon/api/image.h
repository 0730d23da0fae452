#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

/// An alias as its image shows it.
struct AliasOfImage {
    std::string name, description;
};

struct Image {
    bool auto_update = false, is_public = false, cached = false;
    ConfigMap properties;
    std::vector<std::string> profiles;
    std::vector<AliasOfImage> aliases;
    std::string architecture, filename, fingerprint;
    std::uint64_t size_bytes = 0;
    std::string type = "container";
    Time created_at{}, expires_at{}, last_used_at{}, uploaded_at{};
};
nlohmann::json to_json(const Image& image);
nlohmann::json etag_fields(const Image& image);

struct ImagePut {
    bool auto_update = false, is_public = false;
    ConfigMap properties;
    Time expires_at{};
    std::vector<std::string> profiles;
};
Result<ImagePut> parse_image_put(const nlohmann::json& body);
/// PATCH: merged into the current fields.
Result<ImagePut> patch_image(const nlohmann::json& body, ImagePut current);

/// POST /1.0/images with a JSON body: everything but an upload.
struct ImagesPost {
    std::string source_type;  ///< "image", "url", "instance", "snapshot", ...
};
Result<ImagesPost> parse_images_post(const nlohmann::json& body);

}  // namespace lxmgr::api
