#pragma once
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <vector>

#include "images/tar_writer.h"
#include "lxd-daemon/instances/backups/service.h"
#include "lxd-daemon/instances/context.h"

/// Private to the room: what backups are made of. The tarball is as LXD 5.0.2 writes it: backup/index.yaml,
/// backup/container/{backup.yaml,metadata.yaml,templates,rootfs}, backup/snapshots/NAME/{...}.
namespace lxmgr::instances {

/// STATE/backups
std::string backups_dir(const Context& context);
/// Failures are logged: the next start of the daemon removes files that no row knows.
void remove_backup_file(const Context& context, const std::string& file);
void remove_unknown_backup_files(Context& context);

/// "/1.0/instances/X/backups/B"
std::string backup_url(const std::string& instance, const std::string& backup);
/// Blocking; the caller's operation holds the lock "instance:NAME".
Result<> create_backup(Context& context, const std::string& instance, const api::BackupsPost& post,
                       const std::string& requestor, std::stop_token stop);
Result<> delete_backup(Context& context, const std::string& instance, const database::BackupRecord& backup,
                       const std::string& requestor);
/// Removes those whose time has come; gives when the next is; the epoch: never.
Time expire_backups(Context& context, Time time);

/// Writes the whole content of a backup. A running instance is frozen while its root is copied.
Result<> write_instance_backup(Context& context, const database::InstanceRecord& record, bool with_snapshots,
                               images::TarWriter& tar);

/// What an upload was turned into after all checks that need no disk.
struct ImportPlan {
    BackupUpload upload;
    database::InstanceRecord record;
    std::vector<database::SnapshotRecord> snapshots;
    std::string requestor;
};
Result<ImportPlan> plan_import(Context& context, const BackupUpload& upload);
Result<> import_instance(Context& context, const ImportPlan& plan, operations::Operation& operation,
                         std::stop_token stop);

}  // namespace lxmgr::instances
