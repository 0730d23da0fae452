#include "lxd-daemon/rest/listing.h"

namespace lxmgr::rest {

Result<Response> list_response(const Request& request, nlohmann::json objects,
                               const std::function<std::string(const nlohmann::json&)>& url) {
    const std::string filter = request.query_or("filter", "");
    if (!filter.empty()) {
        LX_TRY_AS(objects, apply_filter(filter, std::move(objects)));
    }
    if (request.recursion() > 0) return Response::sync(objects);
    auto urls = nlohmann::json::array();
    for (const auto& object : objects) urls.push_back(url(object));
    return Response::sync(urls);
}

}  // namespace lxmgr::rest
