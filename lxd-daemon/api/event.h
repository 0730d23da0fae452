#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

/// Metadata of lifecycle events: {"action","source","context","requestor"}.
namespace lxmgr::api {

struct Lifecycle {
    std::string action;          ///< "instance-started", "profile-created", ...
    std::string source;          ///< URL of the object
    std::string requestor_json;  ///< JSON text of the requestor; empty: the daemon itself
};
/// @param context  more facts, an object; null for none
std::string to_json_text(const Lifecycle& lifecycle, const nlohmann::json& context);

}  // namespace lxmgr::api
