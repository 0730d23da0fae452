#include "lxd-daemon/instances/backups/steps.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "lxd-daemon/api/event.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/events/hub.h"

namespace lxmgr::instances {
namespace {

void backup_lifecycle(const Context& context, const std::string& action, const std::string& url,
                      const std::string& requestor) {
    auto& hub = context.deps.events;
    if (hub.idle(events::Kind::lifecycle)) return;
    hub.publish(events::Kind::lifecycle, "default", api::to_json_text({action, url, requestor}, nullptr));
}

Result<> sync_directory(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return fail_errno("fsync", path);
    return {};
}

Result<> write_file(Context& context, const std::string& path, const database::InstanceRecord& record,
                    const api::BackupsPost& post, std::stop_token stop) {
    LX_TRY_AS(const auto compression, images::parse_compression(post.compression_algorithm));
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("Creating", path);
    LX_TRY_AS(auto tar, images::TarWriter::open(std::move(fd), compression, std::move(stop)));
    LX_TRY(write_instance_backup(context, record, !post.instance_only, tar));
    LX_TRY(tar.finish());
    return sync_directory(backups_dir(context));
}

}  // namespace

std::string backups_dir(const Context& context) { return context.deps.state_dir + "/backups"; }

std::string backup_url(const std::string& instance, const std::string& backup) {
    return fmt::format("/1.0/instances/{}/backups/{}", instance, url_encode(backup));
}

void remove_backup_file(const Context& context, const std::string& file) {
    const std::string path = backups_dir(context) + "/" + file;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        log::warn("backup file left for the next start", {{"path", path}});
}

void remove_unknown_backup_files(Context& context) {
    std::set<std::string> known;
    for (const auto& backup : context.deps.database.backups().list_all()) known.insert(backup->file);
    std::error_code error;
    for (std::filesystem::directory_iterator at(backups_dir(context), error), end; !error && at != end;
         at.increment(error)) {
        const std::string name = at->path().filename();
        if (!known.contains(name)) remove_backup_file(context, name);
    }
}

Result<> create_backup(Context& context, const std::string& instance, const api::BackupsPost& post,
                       const std::string& requestor, std::stop_token stop) {
    auto& backups = context.deps.database.backups();
    LX_TRY_AS(const auto record, require(context, instance));
    if (backups.find(record->id, 0, post.name))
        return fail(Status::conflict, fmt::format("Backup \"{}/{}\" already exists", instance, post.name));
    LX_TRY(make_directory(backups_dir(context), 0700));
    database::BackupRecord row;
    row.instance_id = record->id;
    row.name = post.name;
    row.file = random_hex(16);
    row.without_snapshots = post.instance_only;
    row.created_at = now();
    row.expires_at = post.expires_at.value_or(Time{});
    Revert undo;
    undo.add([&] { remove_backup_file(context, row.file); });
    LX_TRY(write_file(context, backups_dir(context) + "/" + row.file, *record, post, std::move(stop)));
    failpoint("instances.backup.written");
    LX_TRY(backups.create(row));
    undo.commit();
    failpoint("instances.backup.row");
    context.snapshot_timer.poke();
    backup_lifecycle(context, "instance-backup-created", backup_url(instance, row.name), requestor);
    return {};
}

Result<> delete_backup(Context& context, const std::string& instance, const database::BackupRecord& backup,
                       const std::string& requestor) {
    LX_TRY(context.deps.database.backups().remove(backup));
    failpoint("instances.backup.delete.row");
    remove_backup_file(context, backup.file);
    backup_lifecycle(context, "instance-backup-deleted", backup_url(instance, backup.name), requestor);
    return {};
}

Time expire_backups(Context& context, Time time) {
    Time next{};
    for (const auto& backup : context.deps.database.backups().list_all()) {
        if (backup->expires_at == Time{}) continue;
        if (backup->expires_at > time) {
            next = next == Time{} ? backup->expires_at : std::min(next, backup->expires_at);
            continue;
        }
        for (const auto& record : context.rows().list()) {
            if (record->id != backup->instance_id) continue;
            if (auto removed = delete_backup(context, record->name, *backup, ""); !removed)
                log::error("expired backup not removed", {{"error", removed.error().message}});
        }
    }
    return next;
}

}  // namespace lxmgr::instances
