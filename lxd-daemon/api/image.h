#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
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

/// Where an image was fetched from.
struct ImageUpdateSource {
    std::string alias, certificate, protocol, server;
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
    std::optional<ImageUpdateSource> update_source;
};
nlohmann::json to_json(const Image& image);
nlohmann::json etag_fields(const Image& image);

struct ImagePut {
    bool auto_update = false, is_public = false;
    ConfigMap properties;
    Time expires_at{};
    std::vector<std::string> profiles;
};
/// `profiles` stay when the body has none: the image models of pylxd do not know them.
Result<ImagePut> parse_image_put(const nlohmann::json& body, std::vector<std::string> profiles = {});
/// PATCH: merged into the current fields.
Result<ImagePut> patch_image(const nlohmann::json& body, ImagePut current);

/// POST /1.0/images with a JSON body: everything but an upload.
struct ImagesPost {
    struct Source {
        std::string type;  ///< "image", "url", "instance", "snapshot"; of old clients "container"
        std::string mode;  ///< "pull", or "push": the image will be brought
        std::string server, protocol, certificate, secret, alias, fingerprint;
        std::string image_type;  ///< empty: container
        std::string name;        ///< of an instance, "X" or "X/S"
        std::string url;
        std::string project;  ///< at that server
    };
    Source source;
    ImagePut fields;
    std::string filename, compression_algorithm;
    std::string format;  ///< "", "unified" or "split"
    std::vector<AliasOfImage> aliases;
    std::string in_project = "default";  ///< that the request is for; not of the body
    bool by_admin = false;               ///< who asks may do all; not of the body
};
Result<ImagesPost> parse_images_post(const nlohmann::json& body);
/// What of it describes the image: parse_images_post() reads it back.
nlohmann::json description_json(const ImagesPost& post);

/// POST /1.0/images/X/export: to which server the image is to go.
struct ImageExportPost {
    std::string target, secret, certificate, project;
    std::vector<std::string> profiles;
    bool by_admin = false;  ///< who asks may do all; not of the body
};
Result<ImageExportPost> parse_image_export_post(const nlohmann::json& body);

}  // namespace lxmgr::api
