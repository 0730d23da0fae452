#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "images/image.h"

namespace lxmgr::images {

/// As GET /1.0/instances/NAME/metadata shows it; without the content of templates.
nlohmann::json metadata_to_json(const Metadata& metadata);
/// The other way, for PUT. Errors: `bad_request` for what has another type, and for a template whose file
/// could lie outside templates/.
Result<Metadata> metadata_from_json(const nlohmann::json& json);

/// Everything, templates' content too, as one text to be stored.
std::string encode_metadata(const Metadata& metadata);
/// Errors: `internal` when the text is none of encode_metadata()'s.
Result<Metadata> decode_metadata(const std::string& text);

/// A bare file name, so that a template cannot point elsewhere.
bool is_template_name(const std::string& name);

}  // namespace lxmgr::images
