#include "lxd-daemon/api/common.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

Result<std::string> parse_rename(const nlohmann::json& body) {
    std::string name;
    LX_TRY(Reader(body).text("name", name).done());
    if (name.empty()) return fail(Status::bad_request, "No name provided");
    return name;
}

void merge_config(const ConfigMap& changes, ConfigMap& config) {
    for (const auto& [key, value] : changes) config[key] = value;
    drop_empty(config);
}

}  // namespace lxmgr::api
