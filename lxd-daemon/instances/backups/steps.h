#pragma once
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <vector>

#include "images/tar_writer.h"
#include "lxd-daemon/instances/backups/service.h"
#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/instances/kept_files/kept_files.h"

/// Private to the room: what backups are made of. The tarball is as LXD 5.0.2 writes it: backup/index.yaml,
/// backup/container/{backup.yaml,metadata.yaml,templates,rootfs}, backup/snapshots/NAME/{...}.
namespace lxmgr::instances {

/// STATE/backups, or on the volume of storage.backups_volume.
KeptPlacePtr backups_place(const Context& context);
/// Failures are logged: the next start of the daemon removes files that no row knows.
void remove_backup_file(const Context& context, const std::string& file);
void remove_unknown_backup_files(Context& context);

/// What a backup is of.
struct BackupSubject {
    std::int64_t instance_id = 0, volume_id = 0;  ///< one of them is 0
    std::string project;
    std::string url;    ///< "/1.0/instances/X"
    std::string event;  ///< "instance-backup", "storage-volume-backup"
};
BackupSubject subject_of(const database::InstanceRecord& record);
BackupSubject subject_of(const database::VolumeRecord& record);
std::string backup_url(const BackupSubject& subject, const std::string& backup);

/// The checks of a request that need no disk; gives it a name and a compression when it has none.
Result<> complete_post(Context& context, const BackupSubject& subject, api::BackupsPost& post);
/// Errors: `bad_request`.
Result<> check_backup_name(const std::string& name);

// Blocking; the caller's operation holds the subject's lock.
using BackupWriter = std::function<Result<>(images::TarWriter& tar)>;
Result<> create_backup(Context& context, const BackupSubject& subject, const api::BackupsPost& post,
                       const std::string& requestor, std::stop_token stop, const BackupWriter& write);
Result<> rename_backup(Context& context, const BackupSubject& subject, const std::string& backup,
                       const std::string& new_name, const std::string& requestor);
Result<> delete_backup(Context& context, const BackupSubject& subject, const std::string& backup,
                       const std::string& requestor);
/// Removes those whose time has come; gives when the next is; the epoch: never.
Time expire_backups(Context& context, Time time);

/// Writes the whole content of a backup. A running instance is frozen while its root is copied.
Result<> write_instance_backup(Context& context, const database::InstanceRecord& record, bool with_snapshots,
                               images::TarWriter& tar);

/// The same in the form of the pool's driver.
Result<> write_optimized_backup(Context& context, const database::InstanceRecord& record, bool with_snapshots,
                                images::TarWriter& tar);
/// Puts metadata.yaml and templates beside a tree, as read_instance_tree() finds them.
Result<> put_metadata_beside(int directory, const images::Metadata& metadata);
/// Errors: `bad_request` unless it can be.
Result<> require_streams(Context& context, const std::string& pool);
/// What both begin with.
struct BackupContent {
    std::vector<database::SnapshotPtr> snapshots;
    nlohmann::json config;  ///< of the index, and of backup.yaml
};
/// @param driver  the one that can read the content: "dir" where it is plain trees
Result<> write_instance_index(Context& context, const database::InstanceRecord& record, bool with_snapshots,
                              std::string_view driver, images::TarWriter& tar, BackupContent& content);
/// Errors: `bad_request` unless the pool's driver has that form.
Result<> require_form(Context& context, const std::string& pool, const std::string& form);

/// What an upload was turned into after all checks that need no disk.
struct ImportPlan {
    BackupUpload upload;
    std::string form;                       ///< of its streams; empty: plain trees
    std::map<std::string, sys::IdMap> ids;  ///< of streams, by their place in the backup
    database::InstanceRecord record;
    std::vector<database::SnapshotRecord> snapshots;
    std::string requestor;
};
/// Only what another server can know; it chooses the rest anew.
bool is_portable(const std::string& key);
/// Of another server's: the identity comes along unless an instance here has it; what belongs to its run
/// there does not.
api::ConfigMap keys_to_keep(const Context& context, const api::ConfigMap& config);
/// The root device, own or of a profile, made to name the pool.
void put_root_into(const Context& context, const std::string& pool, database::InstanceRecord& record);
Result<ImportPlan> plan_import(Context& context, const BackupUpload& upload);
/// The same of a custom volume; running instances that have it are frozen while it is copied.
Result<> write_volume_backup(Context& context, const database::VolumeRecord& record, bool with_snapshots,
                             images::TarWriter& tar);
struct VolumeImportPlan {
    BackupUpload upload;
    database::VolumeRecord record;
    std::vector<database::VolumeSnapshotRecord> snapshots;
    std::vector<sys::IdMap> stored_ids;  ///< that the files have in the backup: the volume's, each snapshot's
    std::string requestor;
};
Result<VolumeImportPlan> plan_volume_import(Context& context, const BackupUpload& upload);
Result<> import_volume(Context& context, const VolumeImportPlan& plan, operations::Operation& operation,
                       std::stop_token stop);
Result<> import_instance(Context& context, const ImportPlan& plan, operations::Operation& operation,
                         std::stop_token stop);

}  // namespace lxmgr::instances
