#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {

/// The answer to GET of a collection: `objects` (an array) after `filter=`, as objects or, with recursion=0,
/// as URLs.
Result<Response> list_response(const Request& request, nlohmann::json objects,
                               const std::function<std::string(const nlohmann::json&)>& url);

}  // namespace lxmgr::rest
