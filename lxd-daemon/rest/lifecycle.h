#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {

/// Publishes a lifecycle event ("profile-created") when somebody listens. The URL may hold a key
/// (api/project_keys.h), or ?project=.
/// @param requestor  JSON of the peer, Request::requestor_json
void publish_lifecycle(Services& services, const std::string& requestor, const std::string& action,
                       const std::string& url, const nlohmann::json& context = nullptr);

/// The same of something that belongs to no project: only administrators hear of it.
void publish_server_lifecycle(Services& services, const std::string& requestor, const std::string& action,
                              const std::string& url);

}  // namespace lxmgr::rest
