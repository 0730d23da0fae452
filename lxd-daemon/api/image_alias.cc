#include "lxd-daemon/api/image_alias.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

nlohmann::json to_json(const ImageAlias& alias) {
    return {{"name", alias.name},
            {"description", alias.description},
            {"target", alias.target},
            {"type", alias.type}};
}

nlohmann::json etag_fields(const ImageAlias& alias) {
    return {{"description", alias.description}, {"target", alias.target}};
}

Result<ImageAlias> parse_aliases_post(const nlohmann::json& body) {
    ImageAlias out;
    Reader reader(body);
    reader.text("name", out.name).text("description", out.description);
    reader.text("target", out.target).text("type", out.type);
    LX_TRY(reader.done());
    if (out.name.empty() || out.target.empty()) {
        return fail(Status::bad_request, "Alias name and target are required");
    }
    if (out.type.empty()) out.type = "container";  // lxc 5.0.2 sends "type": ""
    return out;
}

Result<ImageAlias> parse_alias_put(const nlohmann::json& body, ImageAlias current) {
    Reader reader(body);
    LX_TRY(reader.text("description", current.description).text("target", current.target).done());
    if (current.target.empty()) return fail(Status::bad_request, "The target field is required");
    return current;
}

}  // namespace lxmgr::api
