#include "lxd-daemon/instances/backups/steps.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/projects.h"
#include "lxd-daemon/instances/volumes/steps.h"

namespace lxmgr::instances {
namespace {

Result<> sync_directory(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return fail_errno("fsync", path);
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

Result<> write_file(const std::string& path, const api::BackupsPost& post, std::stop_token stop,
                    const BackupWriter& write) {
    LX_TRY_AS(const auto compression, images::parse_compression(post.compression_algorithm));
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("Creating", path);
    LX_TRY_AS(auto tar, images::TarWriter::open(std::move(fd), compression, std::move(stop)));
    LX_TRY(write(tar));
    LX_TRY(tar.finish());
    return sync_directory(path.substr(0, path.rfind('/')));
}

Result<database::BackupPtr> require_backup(const Context& context, const BackupSubject& subject,
                                           const std::string& backup) {
    auto found = context.deps.database.backups().find(subject.instance_id, subject.volume_id, backup);
    if (!found) return fail(Status::not_found, "Backup not found");
    return found;
}

}  // namespace

KeptPlacePtr backups_place(const Context& context) {
    return context.deps.pools.kept_files().place(Kept::backups);
}

BackupSubject subject_of(const database::InstanceRecord& record) {
    return {record.id, 0, project_of(record), "/1.0/instances/" + record.name, "instance-backup"};
}
BackupSubject subject_of(const database::VolumeRecord& record) {
    return {0, record.id, api::split_object_key(record.name).project, volume_url({record.pool, record.name}),
            "storage-volume-backup"};
}
std::string backup_url(const BackupSubject& subject, const std::string& backup) {
    return fmt::format("{}/backups/{}", subject.url, url_encode(backup));
}

Result<> check_backup_name(const std::string& name) {
    if (name.contains('/')) return fail(Status::bad_request, "Backup names may not contain slashes");
    if (name.empty() || name.size() > 255 || name == "." || name == ".." || has_control_chars(name) ||
        !is_utf8(name) || name.contains(' '))
        return fail(Status::bad_request,
                    "Invalid backup name: 1 to 255 bytes without spaces and control characters");
    return {};
}

Result<> complete_post(Context& context, const BackupSubject& subject, api::BackupsPost& post) {
    if (post.compression_algorithm.empty())
        post.compression_algorithm =
            project_setting(context, subject.project, "backups.compression_algorithm");
    LX_TRY(images::parse_compression(post.compression_algorithm));
    if (post.optimized_storage && subject.instance_id == 0)
        return fail(Status::bad_request, "optimized_storage is for backups of instances only");
    if (post.has_target) return fail(Status::bad_request, "Uploading a backup to a target is not supported");
    if (post.expires_at && *post.expires_at != Time{} && *post.expires_at < now())
        return fail(Status::bad_request, "The expiry date of the backup has passed already");
    if (post.name.empty())
        post.name = next_name(context.deps.database.backups().list(subject.instance_id, subject.volume_id));
    return check_backup_name(post.name);
}

void remove_backup_file(const Context& context, const std::string& file) {
    const auto place = backups_place(context);
    const std::string path = place->directory() + "/" + file;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        log::warn("backup file left for the next start", {{"path", path}});
}

void remove_unknown_backup_files(Context& context) {
    std::set<std::string> known;
    for (const auto& backup : context.deps.database.backups().list_all()) known.insert(backup->file);
    const auto place = backups_place(context);
    std::error_code error;
    for (std::filesystem::directory_iterator at(place->directory(), error), end; !error && at != end;
         at.increment(error)) {
        const std::string name = at->path().filename();
        if (!known.contains(name)) remove_backup_file(context, name);
    }
}

Result<> create_backup(Context& context, const BackupSubject& subject, const api::BackupsPost& post,
                       const std::string& requestor, std::stop_token stop, const BackupWriter& write) {
    auto& backups = context.deps.database.backups();
    if (backups.find(subject.instance_id, subject.volume_id, post.name))
        return fail(Status::conflict, fmt::format("Backup \"{}\" already exists", post.name));
    LX_TRY_AS(const auto writing, context.deps.pools.kept_files().write(Kept::backups));
    const std::string& directory = writing.place->directory();
    LX_TRY(lxmgr::make_directory(directory, 0700));
    database::BackupRecord row;
    row.instance_id = subject.instance_id;
    row.volume_id = subject.volume_id;
    row.name = post.name;
    row.file = random_hex(16);
    row.without_snapshots = post.instance_only;
    row.created_at = now();
    row.expires_at = post.expires_at.value_or(Time{});
    row.optimized = post.optimized_storage;
    Revert undo;
    undo.add([&] { remove_backup_file(context, row.file); });
    LX_TRY(write_file(directory + "/" + row.file, post, std::move(stop), write));
    failpoint("instances.backup.written");
    LX_TRY(backups.create(row));
    undo.commit();
    failpoint("instances.backup.row");
    context.snapshot_timer.poke();
    volume_lifecycle(context, subject.event + "-created", backup_url(subject, row.name), requestor);
    return {};
}

Result<> rename_backup(Context& context, const BackupSubject& subject, const std::string& backup,
                       const std::string& new_name, const std::string& requestor) {
    LX_TRY_AS(const auto row, require_backup(context, subject, backup));
    LX_TRY(context.deps.database.backups().rename(*row, new_name));
    volume_lifecycle(context, subject.event + "-renamed", backup_url(subject, new_name), requestor,
                     {{"old_name", backup}});
    return {};
}

Result<> delete_backup(Context& context, const BackupSubject& subject, const std::string& backup,
                       const std::string& requestor) {
    LX_TRY_AS(const auto row, require_backup(context, subject, backup));
    LX_TRY(context.deps.database.backups().remove(*row));
    failpoint("instances.backup.delete.row");
    remove_backup_file(context, row->file);
    volume_lifecycle(context, subject.event + "-deleted", backup_url(subject, backup), requestor);
    return {};
}

namespace {

Result<> expire_backup(Context& context, const database::BackupRecord& backup) {
    if (const auto volume = context.deps.database.volumes().find_id(backup.volume_id))
        return delete_backup(context, subject_of(*volume), backup.name, "");
    for (const auto& record : context.rows().list()) {
        if (record->id == backup.instance_id)
            return delete_backup(context, subject_of(*record), backup.name, "");
    }
    return {};
}

}  // namespace

Time expire_backups(Context& context, Time time) {
    Time next{};
    for (const auto& backup : context.deps.database.backups().list_all()) {
        if (backup->expires_at == Time{}) continue;
        if (backup->expires_at > time) {
            next = next == Time{} ? backup->expires_at : std::min(next, backup->expires_at);
            continue;
        }
        if (auto removed = expire_backup(context, *backup); !removed)
            log::error("expired backup not removed", {{"error", removed.error().message}});
    }
    return next;
}

}  // namespace lxmgr::instances
