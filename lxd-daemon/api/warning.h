#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

struct Warning {
    std::string uuid, type, project, entity_url, last_message;
    std::string severity;  ///< "low", "moderate", "high"
    std::string status;    ///< "new", "acknowledged", "resolved"
    int count = 1;
    Time first_seen_at{}, last_seen_at{};
};
nlohmann::json to_json(const Warning& warning);
/// PUT and PATCH: the new status; clients may set "new" and "acknowledged" only.
Result<std::string> parse_warning_put(const nlohmann::json& body);

}  // namespace lxmgr::api
