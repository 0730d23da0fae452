#include "lxd-daemon/api/project.h"

#include <nlohmann/json.hpp>

namespace lxmgr::api {

nlohmann::json to_json(const Project& project) {
    return {{"name", project.name},
            {"description", project.description},
            {"config", project.config},
            {"used_by", project.used_by}};
}

nlohmann::json etag_fields(const Project& project) {
    return {{"description", project.description}, {"config", project.config}};
}

}  // namespace lxmgr::api
