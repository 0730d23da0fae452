#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace lxmgr::api {

/// A text of an object from outside; empty when there is none of this name, or no object.
inline std::string text_in(const nlohmann::json& object, const char* key) {
    if (!object.is_object()) return {};
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace lxmgr::api
