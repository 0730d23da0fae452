#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {

std::string backup_prefix(std::int64_t instance_id, std::int64_t volume_id) {
    return instance_id != 0 ? fmt::format("i{}/", instance_id) : fmt::format("v{}/", volume_id);
}

namespace {

std::string backup_key(const BackupRecord& record) {
    return backup_prefix(record.instance_id, record.volume_id) + record.name;
}
std::unexpected<Error> no_backup() { return fail(Status::not_found, "Backup not found"); }
std::unexpected<Error> backup_exists(const std::string& name) {
    return fail(Status::conflict, fmt::format("Backup \"{}\" already exists", name));
}

}  // namespace

struct Backups::Impl {
    Connection& connection;
    Table<BackupRecord>& table;
};

Backups::Backups(Connection& connection)
    : impl_(std::make_unique<Impl>(Impl{connection, connection.memory.backups})) {}
Backups::~Backups() = default;

Result<> Backups::load() {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&]() -> Result<> {
        LX_TRY_AS(auto rows,
                  db.prepare("SELECT id, instance_id, volume_id, name, file, without_snapshots, created_at, "
                             "expires_at, optimized FROM backups"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            const BackupRecord record{rows.integer(0), rows.integer(1), rows.integer(2),
                                      rows.string(3),  rows.string(4),  rows.flag(5),
                                      rows.time(6),    rows.time(7),    rows.flag(8)};
            impl_->table.put(backup_key(record), record);
        }
    });
}

Result<BackupPtr> Backups::create(BackupRecord record) {
    auto& db = impl_->connection;
    return db.write_record<BackupPtr>(Durability::full, [&]() -> Result<BackupPtr> {
        if (impl_->table.find(backup_key(record))) return backup_exists(record.name);
        LX_TRY(
            db.execute("INSERT INTO backups (instance_id, volume_id, name, file, without_snapshots, "
                       "created_at, expires_at, optimized) VALUES (NULLIF(?,0),NULLIF(?,0),?,?,?,?,?,?)",
                       record.instance_id, record.volume_id, record.name, record.file,
                       record.without_snapshots, record.created_at, record.expires_at, record.optimized));
        record.id = db.last_insert_id();
        const std::string key = backup_key(record);
        return impl_->table.put(key, std::move(record));
    });
}

BackupPtr Backups::find(std::int64_t instance_id, std::int64_t volume_id, const std::string& name) const {
    return impl_->table.find(backup_prefix(instance_id, volume_id) + name);
}

std::vector<BackupPtr> Backups::list(std::int64_t instance_id, std::int64_t volume_id) const {
    auto found = impl_->table.with_prefix(backup_prefix(instance_id, volume_id));
    std::ranges::sort(found, {}, [](const BackupPtr& backup) { return backup->id; });
    return found;
}
std::vector<BackupPtr> Backups::list_all() const { return impl_->table.list(); }

Result<BackupPtr> Backups::rename(const BackupRecord& record, const std::string& new_name) {
    auto& db = impl_->connection;
    return db.write_record<BackupPtr>(Durability::full, [&]() -> Result<BackupPtr> {
        const auto current = impl_->table.find(backup_key(record));
        if (!current) return no_backup();
        BackupRecord next = *current;
        next.name = new_name;
        if (impl_->table.find(backup_key(next))) return backup_exists(new_name);
        LX_TRY(db.execute("UPDATE backups SET name=? WHERE id=?", new_name, next.id));
        impl_->table.erase(backup_key(record));
        return impl_->table.put(backup_key(next), next);
    });
}

Result<> Backups::remove(const BackupRecord& record) {
    auto& db = impl_->connection;
    return db.write(Durability::full, [&]() -> Result<> {
        const auto current = impl_->table.find(backup_key(record));
        if (!current || current->id != record.id) return no_backup();
        LX_TRY(db.execute("DELETE FROM backups WHERE id=?", record.id));
        impl_->table.erase(backup_key(record));
        return {};
    });
}

}  // namespace lxmgr::database
