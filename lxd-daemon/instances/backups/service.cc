#include "lxd-daemon/instances/backups/service.h"

#include <fcntl.h>

#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/byte_report.h"
#include "lxd-daemon/instances/project_limits.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/steps.h"
#include "lxd-daemon/instances/volume_size.h"
#include "lxd-daemon/instances/volumes/steps.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kBackupProgress = "create_backup_progress";

}  // namespace

Result<std::vector<database::BackupPtr>> BackupService::list(const std::string& instance) const {
    LX_TRY_AS(const auto record, instances::require(context_, instance));
    return context_.deps.database.backups().list(record->id, 0);
}

Result<database::BackupPtr> BackupService::require(const std::string& instance,
                                                   const std::string& backup) const {
    LX_TRY_AS(const auto record, instances::require(context_, instance));
    auto found = context_.deps.database.backups().find(record->id, 0, backup);
    if (!found) return fail(Status::not_found, "Instance backup not found");
    return found;
}

Result<UniqueFd> BackupService::open(const database::BackupRecord& backup) const {
    const auto place = backups_place(context_);
    const std::string path = place->directory() + "/" + backup.file;
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    return fd;
}

Result<operations::OperationPtr> BackupService::create(const std::string& instance, api::BackupsPost post,
                                                       const std::string& requestor) {
    LX_TRY_AS(const auto record, instances::require(context_, instance));
    LX_TRY(check_backups_allowed(context_, project_of(*record)));
    const BackupSubject subject = subject_of(*record);
    LX_TRY(complete_post(context_, subject, post));
    if (post.optimized_storage) LX_TRY(require_streams(context_, record->pool));
    auto request = request_for("Backing up instance", instance, requestor);
    request.resources["backups"] = {"/1.0/backups/" + post.name};  // LXD 5.0.2's, and lxc cuts that off
    request.may_cancel = true;
    request.body = [this, instance, post, requestor](operations::Operation& operation,
                                                     std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY_AS(const auto row, instances::require(context_, instance));
        ByteReport report(operation, kBackupProgress, "");
        const auto fill = [&](images::TarWriter& tar) {
            tar.on_progress([&report](std::uint64_t bytes) { report.at(bytes); });
            const auto write = post.optimized_storage ? write_optimized_backup : write_instance_backup;
            return in_room_for(fmt::format("a backup of instance '{}'", instance),
                               write(context_, *row, !post.instance_only, tar));
        };
        LX_TRY(create_backup(context_, subject_of(*row), post, requestor, std::move(stop), fill));
        return nlohmann::json(nullptr);
    };
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> BackupService::rename(const std::string& instance, const std::string& backup,
                                                       const std::string& new_name,
                                                       const std::string& requestor) {
    LX_TRY(require(instance, backup));
    LX_TRY(check_backup_name(new_name));
    auto request = request_for("Renaming instance backup", instance, requestor);
    request.body = step([this, instance, backup, new_name, requestor](const std::stop_token&) -> Result<> {
        LX_TRY_AS(const auto row, instances::require(context_, instance));
        return rename_backup(context_, subject_of(*row), backup, new_name, requestor);
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> BackupService::remove(const std::string& instance, const std::string& backup,
                                                       const std::string& requestor) {
    LX_TRY(require(instance, backup));
    auto request = request_for("Deleting instance backup", instance, requestor);
    request.body = step([this, instance, backup, requestor](const std::stop_token&) -> Result<> {
        LX_TRY_AS(const auto row, instances::require(context_, instance));
        return delete_backup(context_, subject_of(*row), backup, requestor);
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> BackupService::import(const BackupUpload& upload,
                                                       const std::string& requestor) {
    LX_TRY_AS(auto plan, plan_import(context_, upload));
    plan.requestor = requestor;
    auto request = request_for("Restoring backup", plan.record.name, requestor);
    request.may_cancel = true;
    request.body = [this, plan = std::move(plan)](operations::Operation& operation,
                                                  std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY(import_instance(context_, plan, operation, std::move(stop)));
        return nlohmann::json(nullptr);
    };
    return context_.deps.operations.start(std::move(request));
}

// ---- of volumes

Result<operations::OperationPtr> BackupService::create(const VolumeName& volume, api::BackupsPost post,
                                                       const std::string& requestor) {
    LX_TRY_AS(const auto record, require_volume(context_, volume));
    LX_TRY(check_backups_allowed(context_, volume.project));
    const BackupSubject subject = subject_of(*record);
    LX_TRY(complete_post(context_, subject, post));
    auto request = volume_request(context_, "Creating custom volume backup", volume, requestor, true);
    request.resources["backups"] = {"/1.0/backups/" + post.name};
    request.may_cancel = true;
    request.body = [this, volume, post, requestor](operations::Operation& operation,
                                                   std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY_AS(const auto row, require_volume(context_, volume));
        ByteReport report(operation, kBackupProgress, "");
        const auto fill = [&](images::TarWriter& tar) {
            tar.on_progress([&report](std::uint64_t bytes) { report.at(bytes); });
            return write_volume_backup(context_, *row, !post.instance_only, tar);
        };
        LX_TRY(create_backup(context_, subject_of(*row), post, requestor, std::move(stop), fill));
        return nlohmann::json(nullptr);
    };
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> BackupService::rename(const VolumeName& volume, const std::string& backup,
                                                       const std::string& new_name,
                                                       const std::string& requestor) {
    LX_TRY(check_backup_name(new_name));
    auto request = volume_request(context_, "Renaming custom volume backup", volume, requestor, false);
    request.body = step([this, volume, backup, new_name, requestor](const std::stop_token&) -> Result<> {
        LX_TRY_AS(const auto row, require_volume(context_, volume));
        return rename_backup(context_, subject_of(*row), backup, new_name, requestor);
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> BackupService::remove(const VolumeName& volume, const std::string& backup,
                                                       const std::string& requestor) {
    auto request = volume_request(context_, "Deleting custom volume backup", volume, requestor, false);
    request.body = step([this, volume, backup, requestor](const std::stop_token&) -> Result<> {
        LX_TRY_AS(const auto row, require_volume(context_, volume));
        return delete_backup(context_, subject_of(*row), backup, requestor);
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> BackupService::import_volume(const BackupUpload& upload,
                                                              const std::string& requestor) {
    LX_TRY_AS(auto plan, plan_volume_import(context_, upload));
    plan.requestor = requestor;
    const VolumeName name{plan.record.pool, plan.record.name};
    auto request = volume_request(context_, "Restoring custom volume backup", name, requestor, false);
    request.may_cancel = true;
    request.body = [this, plan = std::move(plan)](operations::Operation& operation,
                                                  std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY(instances::import_volume(context_, plan, operation, std::move(stop)));
        return nlohmann::json(nullptr);
    };
    return context_.deps.operations.start(std::move(request));
}

}  // namespace lxmgr::instances
