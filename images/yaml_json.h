#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

/// A YAML document from outside: plain true, false, null and whole numbers are what they look like, all else
/// is text. Errors: `bad_request`, naming `what`, when it is none or has too many values (aliases make few
/// bytes stand for many).
Result<nlohmann::json> yaml_to_json(const std::string& yaml, std::string_view what);
/// Text in quotes, but for keys and for times (members that end in "_at"), which LXD reads plain.
std::string json_to_yaml(const nlohmann::json& json);

}  // namespace lxmgr::images
