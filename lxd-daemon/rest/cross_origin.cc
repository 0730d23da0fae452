#include "lxd-daemon/rest/cross_origin.h"

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/server_info.h"
#include "profiles/config_keys.h"

namespace lxmgr::rest {
namespace {

bool names_origin(const std::string& list, const std::string& origin) {
    for (const auto& part : split(list, ',')) {
        const auto allowed = trim(part);
        if (!allowed.empty() && (allowed == "*" || to_lower(allowed) == to_lower(origin))) return true;
    }
    return false;
}

}  // namespace

bool is_allowed_origin(const Request& request, const ServerInfo* server) {
    const auto origin = request.header("origin");
    if (!origin || server == nullptr) return false;
    const auto config = server->config();
    if (names_origin(api::value_of(config, "core.https_allowed_origin"), *origin)) return true;
    const bool is_websocket = to_lower(request.header("upgrade").value_or("")) == "websocket";
    return is_websocket &&
           names_origin(api::value_of(config, "core.https_allowed_websocket_origin"), *origin);
}

std::vector<std::pair<std::string, std::string>> cross_origin_headers(const Request& request,
                                                                      const ServerInfo* server) {
    if (!is_allowed_origin(request, server)) return {};
    const auto config = server->config();
    const auto allowed = api::value_of(config, "core.https_allowed_origin");
    std::vector<std::pair<std::string, std::string>> out{
        {"Access-Control-Allow-Origin", trim(allowed) == "*" ? "*" : *request.header("origin")},
        {"Vary", "Origin"}};
    const auto add = [&](const char* name, const char* key) {
        const auto value = api::value_of(config, key);
        if (!value.empty()) out.emplace_back(name, value);
    };
    add("Access-Control-Allow-Methods", "core.https_allowed_methods");
    add("Access-Control-Allow-Headers", "core.https_allowed_headers");
    if (profiles::parse_bool(api::value_of(config, "core.https_allowed_credentials")))
        out.emplace_back("Access-Control-Allow-Credentials", "true");
    return out;
}

}  // namespace lxmgr::rest
