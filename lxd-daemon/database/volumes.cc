#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/database/codec.h"
#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {
namespace {

std::string volume_key(const std::string& pool, const std::string& name) { return pool + "/" + name; }
std::string prefix_of(std::int64_t volume_id) { return fmt::format("{}/", volume_id); }
std::string snapshot_key_of(std::int64_t volume_id, const std::string& name) {
    return prefix_of(volume_id) + name;
}

std::unexpected<Error> no_volume() { return fail(Status::not_found, "Storage volume not found"); }
std::unexpected<Error> volume_exists() {
    return fail(Status::conflict, "Volume by that name already exists");
}
std::unexpected<Error> no_volume_snapshot() {
    return fail(Status::not_found, "Storage volume snapshot not found");
}
std::unexpected<Error> volume_snapshot_exists(const std::string& name) {
    return fail(Status::conflict, fmt::format("Snapshot \"{}\" already in use", name));
}

}  // namespace

struct Volumes::Impl {
    Connection& connection;
    Table<VolumeRecord>& volumes;
    Table<VolumeSnapshotRecord>& snapshots;

    Result<> load_volumes() {
        LX_TRY_AS(auto rows, connection.prepare("SELECT id, pool, name, volume, description, config, "
                                                "created_at, content_type FROM volumes"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            VolumeRecord record{rows.integer(0), rows.string(1), rows.string(2),
                                rows.string(3),  rows.string(4), {},
                                rows.time(6),    rows.string(7)};
            LX_TRY_AS(record.config, decode_config(rows.text(5), fmt::format("volume '{}'", record.name)));
            volumes.put(volume_key(record.pool, record.name), record);
        }
    }
    Result<> load_snapshots() {
        LX_TRY_AS(auto rows, connection.prepare("SELECT id, volume_id, name, volume, description, config, "
                                                "created_at, expires_at FROM volume_snapshots"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            VolumeSnapshotRecord record{rows.integer(0), rows.integer(1), rows.string(2),
                                        rows.string(3),  rows.string(4),  {},
                                        rows.time(6),    rows.time(7)};
            LX_TRY_AS(record.config,
                      decode_config(rows.text(5), fmt::format("volume snapshot '{}'", record.name)));
            snapshots.put(snapshot_key_of(record.volume_id, record.name), record);
        }
    }
    [[nodiscard]] VolumeSnapshotPtr snapshot_by_id(const VolumeSnapshotRecord& record) const {
        for (const auto& row : snapshots.with_prefix(prefix_of(record.volume_id))) {
            if (row->id == record.id) return row;
        }
        return nullptr;
    }
};

Volumes::Volumes(Connection& connection)
    : impl_(std::make_unique<Impl>(
          Impl{connection, connection.memory.volumes, connection.memory.volume_snapshots})) {}
Volumes::~Volumes() = default;

Result<> Volumes::load() {
    return impl_->connection.write(Durability::normal, [&]() -> Result<> {
        LX_TRY(impl_->load_volumes());
        return impl_->load_snapshots();
    });
}

Result<VolumePtr> Volumes::create(VolumeRecord record) {
    auto& db = impl_->connection;
    return db.write_record<VolumePtr>(Durability::full, [&]() -> Result<VolumePtr> {
        if (find(record.pool, record.name)) return volume_exists();
        LX_TRY(db.memory.require_project(api::split_object_key(record.name).project));
        LX_TRY(db.execute(
            "INSERT INTO volumes (pool, name, volume, description, config, created_at, content_type) "
            "VALUES (?,?,?,?,?,?,?)",
            record.pool, record.name, record.volume, record.description, encode(record.config),
            record.created_at, record.content_type));
        record.id = db.last_insert_id();
        const std::string key = volume_key(record.pool, record.name);
        return impl_->volumes.put(key, std::move(record));
    });
}

VolumePtr Volumes::find(const std::string& pool, const std::string& name) const {
    return impl_->volumes.find(volume_key(pool, name));
}

VolumePtr Volumes::find_id(std::int64_t id) const {
    const auto found = impl_->volumes.select([id](const VolumeRecord& record) { return record.id == id; });
    return found.empty() ? nullptr : found.front();
}

std::vector<VolumePtr> Volumes::list(const std::string& pool) const {
    return impl_->volumes.with_prefix(pool + "/");
}
std::vector<VolumePtr> Volumes::list_all() const { return impl_->volumes.list(); }

Result<VolumePtr> Volumes::update(const VolumeRecord& record) {
    auto& db = impl_->connection;
    return db.write_record<VolumePtr>(Durability::full, [&]() -> Result<VolumePtr> {
        const VolumePtr current = find_id(record.id);
        if (!current) return no_volume();
        const std::string old_key = volume_key(current->pool, current->name);
        const std::string key = volume_key(record.pool, record.name);
        if (key != old_key && impl_->volumes.find(key)) return volume_exists();
        VolumeRecord next = record;
        next.created_at = current->created_at;
        next.content_type = current->content_type;
        LX_TRY(db.execute("UPDATE volumes SET pool=?, name=?, volume=?, description=?, config=? WHERE id=?",
                          next.pool, next.name, next.volume, next.description, encode(next.config), next.id));
        if (key != old_key) impl_->volumes.erase(old_key);
        return impl_->volumes.put(key, std::move(next));
    });
}

Result<> Volumes::remove(std::int64_t id) {
    auto& db = impl_->connection;
    return db.write(Durability::full, [&]() -> Result<> {
        const VolumePtr current = find_id(id);
        if (!current) return no_volume();
        LX_TRY(db.execute("DELETE FROM volumes WHERE id=?", id));
        for (const auto& snapshot : impl_->snapshots.with_prefix(prefix_of(id)))  // in SQL they cascade
            impl_->snapshots.erase(snapshot_key_of(id, snapshot->name));
        auto& backups = db.memory.backups;
        const std::string prefix = backup_prefix(0, id);
        for (const auto& backup : backups.with_prefix(prefix)) backups.erase(prefix + backup->name);
        impl_->volumes.erase(volume_key(current->pool, current->name));
        return {};
    });
}

Result<VolumeSnapshotPtr> Volumes::create_snapshot(VolumeSnapshotRecord record) {
    auto& db = impl_->connection;
    return db.write_record<VolumeSnapshotPtr>(Durability::full, [&]() -> Result<VolumeSnapshotPtr> {
        if (find_snapshot(record.volume_id, record.name)) return volume_snapshot_exists(record.name);
        LX_TRY(
            db.execute("INSERT INTO volume_snapshots (volume_id, name, volume, description, config, "
                       "created_at, expires_at) VALUES (?,?,?,?,?,?,?)",
                       record.volume_id, record.name, record.volume, record.description,
                       encode(record.config), record.created_at, record.expires_at));
        record.id = db.last_insert_id();
        const std::string key = snapshot_key_of(record.volume_id, record.name);
        return impl_->snapshots.put(key, std::move(record));
    });
}

VolumeSnapshotPtr Volumes::find_snapshot(std::int64_t volume_id, const std::string& name) const {
    return impl_->snapshots.find(snapshot_key_of(volume_id, name));
}

std::vector<VolumeSnapshotPtr> Volumes::snapshots(std::int64_t volume_id) const {
    auto found = impl_->snapshots.with_prefix(prefix_of(volume_id));
    std::ranges::sort(found, {}, [](const VolumeSnapshotPtr& snapshot) {
        return std::pair(snapshot->created_at, snapshot->id);
    });
    return found;
}
std::vector<VolumeSnapshotPtr> Volumes::all_snapshots() const { return impl_->snapshots.list(); }

Result<VolumeSnapshotPtr> Volumes::update_snapshot(const VolumeSnapshotRecord& record) {
    auto& db = impl_->connection;
    return db.write_record<VolumeSnapshotPtr>(Durability::full, [&]() -> Result<VolumeSnapshotPtr> {
        const auto current = impl_->snapshot_by_id(record);
        if (!current) return no_volume_snapshot();
        const bool renamed = current->name != record.name;
        if (renamed && find_snapshot(record.volume_id, record.name))
            return volume_snapshot_exists(record.name);
        VolumeSnapshotRecord next = *current;
        next.name = record.name;
        next.volume = record.volume;
        next.description = record.description;
        next.expires_at = record.expires_at;
        LX_TRY(
            db.execute("UPDATE volume_snapshots SET name=?, volume=?, description=?, expires_at=? WHERE id=?",
                       next.name, next.volume, next.description, next.expires_at, next.id));
        if (renamed) impl_->snapshots.erase(snapshot_key_of(current->volume_id, current->name));
        return impl_->snapshots.put(snapshot_key_of(next.volume_id, next.name), next);
    });
}

Result<> Volumes::remove_snapshot(const VolumeSnapshotRecord& record) {
    auto& db = impl_->connection;
    return db.write(Durability::full, [&]() -> Result<> {
        const auto current = impl_->snapshot_by_id(record);
        if (!current) return no_volume_snapshot();
        LX_TRY(db.execute("DELETE FROM volume_snapshots WHERE id=?", current->id));
        impl_->snapshots.erase(snapshot_key_of(current->volume_id, current->name));
        return {};
    });
}

}  // namespace lxmgr::database
