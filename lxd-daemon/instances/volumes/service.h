#pragma once
#include <string>

#include "lxd-daemon/api/storage_volume.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/operations/operation.h"

namespace lxmgr::instances {

struct Context;

/// Names a custom volume.
struct VolumeName {
    std::string pool, name;           ///< the name with its project: api::object_key()
    std::string project = "default";  ///< of who asks, which may use another's volumes
};
std::string volume_url(const VolumeName& name);
std::string volume_snapshot_url(const VolumeName& name, const std::string& snapshot);

/// Custom volumes: what the REST routes call to change them; reads are the database's. `requestor` is the
/// JSON of the peer for lifecycle events. Thread-safe.
class VolumeService {
public:
    explicit VolumeService(Context& context) : context_(context) {}

    // ---- blocking, and done at return, as on the wire
    Result<> create(const std::string& pool, const api::StorageVolumesPost& post,
                    const std::string& requestor);
    /// Changes config and description, or restores a snapshot.
    Result<> update(const VolumeName& name, const api::StorageVolumePut& put, const std::string& requestor);
    Result<> rename(const VolumeName& name, const std::string& new_name, const std::string& requestor);
    Result<> remove(const VolumeName& name, const std::string& requestor);
    Result<> update_snapshot(const VolumeName& name, const std::string& snapshot,
                             const api::StorageVolumeSnapshotPut& put, const std::string& requestor);

    // ---- in the background
    Result<operations::OperationPtr> copy(const std::string& pool, const api::StorageVolumesPost& post,
                                          const std::string& requestor);
    Result<operations::OperationPtr> move(const VolumeName& name, const VolumeName& to, bool with_snapshots,
                                          const std::string& requestor);
    Result<operations::OperationPtr> create_snapshot(const VolumeName& name,
                                                     const api::StorageVolumeSnapshotsPost& post,
                                                     const std::string& requestor);
    Result<operations::OperationPtr> rename_snapshot(const VolumeName& name, const std::string& snapshot,
                                                     const std::string& new_name,
                                                     const std::string& requestor);
    Result<operations::OperationPtr> remove_snapshot(const VolumeName& name, const std::string& snapshot,
                                                     const std::string& requestor);

private:
    /// Runs the operation and waits for its end.
    Result<> run(operations::Request request, std::function<Result<>()> work);

    Context& context_;
};

}  // namespace lxmgr::instances
