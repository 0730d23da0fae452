#pragma once
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/storage_pool.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::instances {

struct Context;

/// Brings back what stands in pools and the database does not know, from the notes beside the volumes: LXD's
/// `recover`. Blocking; one at a time.
class RecoveryService {
public:
    explicit RecoveryService(Context& context) : context_(context) {}
    /// What is there: {"UnknownVolumes": [{name, type, snapshotCount, project, pool}], "DependencyErrors":
    /// [text]}. Changes nothing. No pools: those that the database has, and the directories of pools that it
    /// has not. Errors: `bad_request`, `not_found` for a pool that cannot be opened.
    Result<nlohmann::json> validate(std::vector<api::StoragePoolsPost> pools);
    /// Does it, but for what has errors, which are in the result as of validate().
    Result<nlohmann::json> import(std::vector<api::StoragePoolsPost> pools, const std::string& requestor);

private:
    Context& context_;
    std::mutex one_at_a_time_;
};

}  // namespace lxmgr::instances
