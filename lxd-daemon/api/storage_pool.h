#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

struct StoragePool {
    std::string name, driver, description;
    ConfigMap config;
    std::vector<std::string> used_by;
};
nlohmann::json to_json(const StoragePool& pool);
/// LXD sends no ETag for pools, but checks one that a client computed from these fields.
nlohmann::json etag_fields(const StoragePool& pool);

struct StoragePoolPut {
    std::string description;
    ConfigMap config;
};
Result<StoragePoolPut> parse_storage_pool_put(const nlohmann::json& body);
Result<StoragePoolPut> patch_storage_pool(const nlohmann::json& body, StoragePoolPut current);

struct StoragePoolsPost {
    std::string name, driver;
    StoragePoolPut fields;
};
Result<StoragePoolsPost> parse_storage_pools_post(const nlohmann::json& body);

/// GET /1.0/storage-pools/NAME/resources
struct StoragePoolResources {
    std::uint64_t space_used_bytes = 0, space_total_bytes = 0, inodes_used = 0, inodes_total = 0;
};
nlohmann::json to_json(const StoragePoolResources& resources);

}  // namespace lxmgr::api
