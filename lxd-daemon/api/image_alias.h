#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

struct ImageAlias {
    std::string name, description;
    std::string target;  ///< full fingerprint
    std::string type = "container";
};
nlohmann::json to_json(const ImageAlias& alias);
nlohmann::json etag_fields(const ImageAlias& alias);

/// POST /1.0/images/aliases. Errors: `bad_request` without name or target.
Result<ImageAlias> parse_aliases_post(const nlohmann::json& body);
/// PUT or PATCH: what is given replaces description and target of `current`.
Result<ImageAlias> parse_alias_put(const nlohmann::json& body, ImageAlias current);

}  // namespace lxmgr::api
