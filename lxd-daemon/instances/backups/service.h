#pragma once
#include <memory>
#include <string>
#include <vector>

#include "images/backup_reader.h"
#include "lxd-daemon/api/backup.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/volumes/service.h"
#include "lxd-daemon/operations/operation.h"

namespace lxmgr::instances {

struct Context;

/// A backup that a client sends. It is read while it comes.
struct BackupUpload {
    std::shared_ptr<images::BackupReader> content;  ///< by whom it is read, once
    std::string name;                 ///< of the new instance or volume; empty: as the backup says
    std::string pool;                 ///< the same
    std::string project = "default";  ///< of what becomes of it
};

/// Stored backups of instances, and instances from backups. `requestor` is the JSON of the peer for lifecycle
/// events. Thread-safe.
class BackupService {
public:
    explicit BackupService(Context& context) : context_(context) {}

    /// Oldest first. `not_found` "Instance not found".
    Result<std::vector<database::BackupPtr>> list(const std::string& instance) const;
    /// `not_found` for either.
    Result<database::BackupPtr> require(const std::string& instance, const std::string& backup) const;
    /// The tarball, positioned at 0.
    Result<UniqueFd> open(const database::BackupRecord& backup) const;

    Result<operations::OperationPtr> create(const std::string& instance, api::BackupsPost post,
                                            const std::string& requestor);
    Result<operations::OperationPtr> rename(const std::string& instance, const std::string& backup,
                                            const std::string& new_name, const std::string& requestor);
    Result<operations::OperationPtr> remove(const std::string& instance, const std::string& backup,
                                            const std::string& requestor);
    /// The same of custom volumes.
    Result<operations::OperationPtr> create(const VolumeName& volume, api::BackupsPost post,
                                            const std::string& requestor);
    Result<operations::OperationPtr> rename(const VolumeName& volume, const std::string& backup,
                                            const std::string& new_name, const std::string& requestor);
    Result<operations::OperationPtr> remove(const VolumeName& volume, const std::string& backup,
                                            const std::string& requestor);
    /// A volume from a backup, in `upload.pool`. Blocking, as import().
    Result<operations::OperationPtr> import_volume(const BackupUpload& upload, const std::string& requestor);
    /// An instance from a backup. Blocking: waits for the backup's index; the operation reads the rest.
    Result<operations::OperationPtr> import(const BackupUpload& upload, const std::string& requestor);

private:
    Context& context_;
};

}  // namespace lxmgr::instances
