#include "lxd-daemon/api/image.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {
namespace {

Reader& read_put(Reader& reader, ImagePut& out) {
    reader.flag("auto_update", out.auto_update)
        .flag("public", out.is_public)
        .time("expires_at", out.expires_at);
    return reader.list("profiles", out.profiles);
}

}  // namespace

nlohmann::json to_json(const Image& image) {
    auto aliases = nlohmann::json::array();
    for (const auto& alias : image.aliases) {
        aliases.push_back({{"name", alias.name}, {"description", alias.description}});
    }
    return {{"auto_update", image.auto_update},
            {"properties", image.properties},
            {"public", image.is_public},
            {"expires_at", to_rfc3339(image.expires_at)},
            {"profiles", image.profiles},
            {"aliases", std::move(aliases)},
            {"architecture", image.architecture},
            {"cached", image.cached},
            {"filename", image.filename},
            {"fingerprint", image.fingerprint},
            {"size", image.size_bytes},
            {"type", image.type},
            {"created_at", to_rfc3339(image.created_at)},
            {"last_used_at", to_rfc3339(image.last_used_at)},
            {"uploaded_at", to_rfc3339(image.uploaded_at)}};
}

nlohmann::json etag_fields(const Image& image) {
    return {{"auto_update", image.auto_update},
            {"properties", image.properties},
            {"public", image.is_public},
            {"expires_at", to_rfc3339(image.expires_at)},
            {"profiles", image.profiles}};
}

Result<ImagePut> parse_image_put(const nlohmann::json& body) {
    ImagePut out;
    Reader reader(body);
    LX_TRY(read_put(reader, out).map("properties", out.properties).done());
    drop_empty(out.properties);
    return out;
}

Result<ImagePut> patch_image(const nlohmann::json& body, ImagePut current) {
    ConfigMap properties;
    Reader reader(body);
    LX_TRY(read_put(reader, current).map("properties", properties).done());
    merge_config(properties, current.properties);
    return current;
}

Result<ImagesPost> parse_images_post(const nlohmann::json& body) {
    ImagesPost out;
    Reader reader(body);
    const auto* source = reader.object("source");
    LX_TRY(reader.done());
    if (source != nullptr) LX_TRY(Reader(*source, "source.").text("type", out.source_type).done());
    return out;
}

}  // namespace lxmgr::api
