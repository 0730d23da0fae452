#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/clock.h"

namespace lxmgr::api {

struct StorageVolume {
    std::string name, description;
    std::string type;  ///< "container", "image", "custom"
    std::string content_type = "filesystem";
    ConfigMap config;
    std::vector<std::string> used_by;
    Time created_at{};
};
nlohmann::json to_json(const StorageVolume& volume);
nlohmann::json etag_fields(const StorageVolume& volume);

}  // namespace lxmgr::api
