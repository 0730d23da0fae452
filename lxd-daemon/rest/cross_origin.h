#pragma once
#include <string>
#include <utility>
#include <vector>

namespace lxmgr::rest {

struct Request;
class ServerInfo;

/// Whether the request comes from a page of another site that core.https_allowed_origin (for websockets also
/// core.https_allowed_websocket_origin) names. The config is looked at only if the browser names an origin.
bool is_allowed_origin(const Request& request, const ServerInfo* server);

/// What tells the browser so (https://fetch.spec.whatwg.org/#http-cors-protocol); nothing for other requests.
std::vector<std::pair<std::string, std::string>> cross_origin_headers(const Request& request,
                                                                      const ServerInfo* server);

}  // namespace lxmgr::rest
