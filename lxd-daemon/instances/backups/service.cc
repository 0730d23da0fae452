#include "lxd-daemon/instances/backups/service.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/backups/steps.h"
#include "lxd-daemon/instances/steps.h"

namespace lxmgr::instances {
namespace {

Result<> check_name(const std::string& name) {
    if (name.contains('/')) return fail(Status::bad_request, "Backup names may not contain slashes");
    if (name.size() > 255 || name == "." || name == ".." || has_control_chars(name) || !is_utf8(name) ||
        name.contains(' '))
        return fail(Status::bad_request,
                    "Invalid backup name: 1 to 255 bytes without spaces and control characters");
    return {};
}

/// backup0, backup1, ...: the first after all that are there.
std::string next_name(const std::vector<database::BackupPtr>& taken) {
    constexpr std::string_view kStem = "backup";
    std::uint64_t next = 0;
    for (const auto& backup : taken) {
        if (!backup->name.starts_with(kStem)) continue;
        const auto number = parse_uint(backup->name.substr(kStem.size()));
        if (number && *number >= next) next = *number + 1;
    }
    return fmt::format("{}{}", kStem, next);
}

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
    const std::string path = backups_dir(context_) + "/" + backup.file;
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    return fd;
}

Result<operations::OperationPtr> BackupService::create(const std::string& instance, api::BackupsPost post,
                                                       const std::string& requestor) {
    LX_TRY_AS(const auto present, list(instance));
    LX_TRY(check_name(post.name));
    LX_TRY(images::parse_compression(post.compression_algorithm));
    if (post.optimized_storage)
        return fail(Status::bad_request,
                    "optimized_storage is not supported: no driver here has a format of its own");
    if (post.has_target) return fail(Status::bad_request, "Uploading a backup to a target is not supported");
    if (post.expires_at && *post.expires_at != Time{} && *post.expires_at < now())
        return fail(Status::bad_request, "The expiry date of the backup has passed already");
    if (post.name.empty()) post.name = next_name(present);
    auto request = request_for("Backing up instance", instance, requestor);
    request.resources["backups"] = {backup_url(instance, post.name)};
    request.may_cancel = true;
    request.body = step([this, instance, post, requestor](std::stop_token stop) {
        return create_backup(context_, instance, post, requestor, std::move(stop));
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> BackupService::rename(const std::string& instance, const std::string& backup,
                                                       const std::string& new_name,
                                                       const std::string& requestor) {
    LX_TRY(require(instance, backup));
    LX_TRY(check_name(new_name));
    if (new_name.empty()) return fail(Status::bad_request, "No name provided");
    auto request = request_for("Renaming instance backup", instance, requestor);
    request.body = step([this, instance, backup, new_name](const std::stop_token&) -> Result<> {
        LX_TRY_AS(const auto row, require(instance, backup));
        LX_TRY(context_.deps.database.backups().rename(*row, new_name));
        return {};
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> BackupService::remove(const std::string& instance, const std::string& backup,
                                                       const std::string& requestor) {
    LX_TRY(require(instance, backup));
    auto request = request_for("Deleting instance backup", instance, requestor);
    request.body = step([this, instance, backup, requestor](const std::stop_token&) -> Result<> {
        LX_TRY_AS(const auto row, require(instance, backup));
        return delete_backup(context_, instance, *row, requestor);
    });
    return context_.deps.operations.start(std::move(request));
}

Result<operations::OperationPtr> BackupService::import(const BackupUpload& upload,
                                                       const std::string& requestor) {
    LX_TRY_AS(auto plan, plan_import(context_, upload));
    plan.requestor = requestor;
    auto request = request_for("Restoring backup", plan.record.name, requestor);
    request.body = [this, plan = std::move(plan)](operations::Operation& operation,
                                                  std::stop_token stop) -> Result<nlohmann::json> {
        LX_TRY(import_instance(context_, plan, operation, std::move(stop)));
        return nlohmann::json(nullptr);
    };
    return context_.deps.operations.start(std::move(request));
}

}  // namespace lxmgr::instances
