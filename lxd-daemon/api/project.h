#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"

namespace lxmgr::api {

struct Project {
    std::string name, description;
    ConfigMap config;
    std::vector<std::string> used_by;
};
nlohmann::json to_json(const Project& project);
nlohmann::json etag_fields(const Project& project);

}  // namespace lxmgr::api
