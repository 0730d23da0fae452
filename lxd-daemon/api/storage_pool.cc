#include "lxd-daemon/api/storage_pool.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

nlohmann::json to_json(const StoragePool& pool) {
    return {{"name", pool.name},
            {"driver", pool.driver},
            {"description", pool.description},
            {"config", pool.config},
            {"used_by", pool.used_by},
            {"status", "Created"},
            {"locations", nlohmann::json::array({"none"})}};
}

nlohmann::json etag_fields(const StoragePool& pool) {
    return {{"name", pool.name}, {"driver", pool.driver}, {"config", pool.config}};
}

Result<StoragePoolPut> parse_storage_pool_put(const nlohmann::json& body) {
    StoragePoolPut out;
    Reader reader(body);
    LX_TRY(reader.text("description", out.description).map("config", out.config).done());
    drop_empty(out.config);
    return out;
}

Result<StoragePoolPut> patch_storage_pool(const nlohmann::json& body, StoragePoolPut current) {
    ConfigMap config;
    Reader reader(body);
    LX_TRY(reader.text("description", current.description).map("config", config).done());
    merge_config(config, current.config);
    return current;
}

Result<StoragePoolsPost> parse_storage_pools_post(const nlohmann::json& body) {
    StoragePoolsPost out;
    LX_TRY(Reader(body).text("name", out.name).text("driver", out.driver).done());
    LX_TRY_AS(out.fields, parse_storage_pool_put(body));
    if (out.name.empty()) return fail(Status::bad_request, "No name provided");
    if (out.driver.empty()) return fail(Status::bad_request, "No driver provided");
    return out;
}

nlohmann::json to_json(const StoragePoolResources& resources) {
    return {{"space", {{"used", resources.space_used_bytes}, {"total", resources.space_total_bytes}}},
            {"inodes", {{"used", resources.inodes_used}, {"total", resources.inodes_total}}}};
}

}  // namespace lxmgr::api
