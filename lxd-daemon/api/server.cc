#include "lxd-daemon/api/server.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

Result<ConfigMap> parse_server_put(const nlohmann::json& body) {
    ConfigMap config;
    LX_TRY(Reader(body).map("config", config).done());
    drop_empty(config);
    return config;
}

Result<ConfigMap> patch_server(const nlohmann::json& body, ConfigMap current) {
    ConfigMap config;
    LX_TRY(Reader(body).map("config", config).done());
    merge_config(config, current);
    return current;
}

}  // namespace lxmgr::api
