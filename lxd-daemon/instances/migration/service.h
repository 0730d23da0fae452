#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "lxd-daemon/api/instance_requests.h"
#include "lxd-daemon/api/storage_volume.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/migration/link.h"
#include "lxd-daemon/operations/operation.h"

namespace lxmgr::instances {

struct Context;
struct VolumeName;

/// How a migration's servers reach each other.
struct MigrationWire {
    std::shared_ptr<migration::Link> link;
    nlohmann::json secrets;  ///< of websockets that others connect to; null: this server dials
};

/// What of an instance goes to another server.
struct MigrationSubject {
    std::string instance;
    std::string snapshot;  ///< only this one, as an instance; empty: the instance as it is now
    bool with_snapshots = true;
    bool live = false;  ///< its processes, too
};

/// Instances and custom volumes to other servers and from them. `requestor` is the JSON of the peer for
/// lifecycle events. Thread-safe.
class MigrationService {
public:
    explicit MigrationService(Context& context) : context_(context) {}

    /// Errors: `not_found`, `bad_request`.
    Result<operations::OperationPtr> send(MigrationSubject subject, MigrationWire wire,
                                          const std::string& requestor);
    /// A new instance, or one that is to become as the source's (refresh). Blocking. Errors: as of creation.
    Result<operations::OperationPtr> receive(api::InstancesPost post, MigrationWire wire,
                                             const std::string& requestor);

    Result<operations::OperationPtr> send_volume(const VolumeName& name, bool with_snapshots,
                                                 MigrationWire wire, const std::string& requestor);
    Result<operations::OperationPtr> receive_volume(const std::string& pool,
                                                    const api::StorageVolumesPost& post, MigrationWire wire,
                                                    const std::string& requestor);

private:
    Context& context_;
};

}  // namespace lxmgr::instances
