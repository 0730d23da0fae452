#include "lxd-daemon/api/warning.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

nlohmann::json to_json(const Warning& warning) {
    return {{"uuid", warning.uuid},
            {"type", warning.type},
            {"project", warning.project},
            {"entity_url", warning.entity_url},
            {"last_message", warning.last_message},
            {"severity", warning.severity},
            {"status", warning.status},
            {"count", warning.count},
            {"location", "none"},
            {"first_seen_at", to_rfc3339(warning.first_seen_at)},
            {"last_seen_at", to_rfc3339(warning.last_seen_at)}};
}

Result<std::string> parse_warning_put(const nlohmann::json& body) {
    std::string status;
    LX_TRY(Reader(body).text("status", status).done());
    if (status == "new" || status == "acknowledged") return status;
    return fail(Status::bad_request, "Status may only be set to \"acknowledged\" or \"new\"");
}

}  // namespace lxmgr::api
