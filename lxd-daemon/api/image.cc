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

Result<> read_source(const nlohmann::json& object, ImagesPost::Source& out) {
    Reader reader(object, "source.");
    reader.text("type", out.type).text("mode", out.mode).text("server", out.server);
    reader.text("protocol", out.protocol).text("certificate", out.certificate).text("secret", out.secret);
    reader.text("alias", out.alias).text("fingerprint", out.fingerprint).text("image_type", out.image_type);
    return reader.text("name", out.name).text("url", out.url).text("project", out.project).done();
}

Result<AliasOfImage> parse_alias(const nlohmann::json& object) {
    AliasOfImage out;
    if (!object.is_object()) return fail(Status::bad_request, "Each of 'aliases' must be an object");
    LX_TRY(Reader(object, "aliases.").text("name", out.name).text("description", out.description).done());
    return out;
}

}  // namespace

nlohmann::json to_json(const Image& image) {
    auto aliases = nlohmann::json::array();
    for (const auto& alias : image.aliases) {
        aliases.push_back({{"name", alias.name}, {"description", alias.description}});
    }
    nlohmann::json out{{"auto_update", image.auto_update},
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
    if (image.update_source) {
        const auto& source = *image.update_source;
        out["update_source"] = {{"alias", source.alias},
                                {"certificate", source.certificate},
                                {"protocol", source.protocol},
                                {"server", source.server},
                                {"image_type", image.type}};
    }
    return out;
}

nlohmann::json etag_fields(const Image& image) {
    return {{"auto_update", image.auto_update},
            {"properties", image.properties},
            {"public", image.is_public},
            {"expires_at", to_rfc3339(image.expires_at)},
            {"profiles", image.profiles}};
}

Result<ImagePut> parse_image_put(const nlohmann::json& body, std::vector<std::string> profiles) {
    ImagePut out;
    out.profiles = std::move(profiles);
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
    read_put(reader, out.fields).map("properties", out.fields.properties);
    reader.text("filename", out.filename).text("compression_algorithm", out.compression_algorithm);
    reader.text("format", out.format);
    const auto* source = reader.object("source");
    const auto* aliases = reader.array("aliases");
    LX_TRY(reader.done());
    drop_empty(out.fields.properties);
    if (aliases != nullptr) {
        for (const auto& alias : *aliases) {
            LX_TRY_AS(out.aliases.emplace_back(), parse_alias(alias));
        }
    }
    if (source != nullptr) LX_TRY(read_source(*source, out.source));
    return out;
}

nlohmann::json description_json(const ImagesPost& post) {
    auto aliases = nlohmann::json::array();
    for (const auto& alias : post.aliases)
        aliases.push_back({{"name", alias.name}, {"description", alias.description}});
    return {{"properties", post.fields.properties},
            {"public", post.fields.is_public},
            {"expires_at", to_rfc3339(post.fields.expires_at)},
            {"profiles", post.fields.profiles},
            {"filename", post.filename},
            {"aliases", std::move(aliases)}};
}

Result<ImageExportPost> parse_image_export_post(const nlohmann::json& body) {
    ImageExportPost out;
    Reader reader(body);
    reader.text("target", out.target).text("secret", out.secret).text("certificate", out.certificate);
    // LXD's client sends 'aliases', too, which the target server knows since it made the secret.
    LX_TRY(reader.text("project", out.project).list("profiles", out.profiles).done());
    return out;
}

}  // namespace lxmgr::api
