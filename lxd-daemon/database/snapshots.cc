#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/database/codec.h"
#include "lxd-daemon/database/connection.h"
#include "lxd-daemon/database/profile_links.h"

namespace lxmgr::database {
namespace {

constexpr ProfileLink kSnapshotProfiles{"snapshot_profiles", "snapshot_id"};

std::string snapshot_key(std::int64_t instance_id, const std::string& name) {
    return snapshot_prefix(instance_id) + name;
}

std::unexpected<Error> no_snapshot(const std::string& name) {
    return fail(Status::not_found, fmt::format("Snapshot '{}' not found", name));
}
std::unexpected<Error> snapshot_exists(const std::string& name) {
    return fail(Status::conflict, fmt::format("Snapshot '{}' already exists", name));
}

Result<SnapshotRecord> read_snapshot(const Statement& row) {
    SnapshotRecord out;
    out.id = row.integer(0);
    out.instance_id = row.integer(1);
    out.name = row.string(2);
    out.volume = row.string(3);
    out.description = row.string(4);
    out.architecture = row.string(5);
    out.ephemeral = row.flag(6);
    const std::string what = fmt::format("snapshot '{}'", out.name);
    LX_TRY_AS(out.config, decode_config(row.text(7), what));
    LX_TRY_AS(out.devices, decode_devices(row.text(8), what));
    out.size_bytes = row.integer(9);
    out.created_at = row.time(10);
    out.last_used_at = row.time(11);
    out.expires_at = row.time(12);
    return out;
}

}  // namespace

std::string snapshot_prefix(std::int64_t instance_id) { return fmt::format("{}/", instance_id); }
std::string snapshot_key(const SnapshotRecord& record) {
    return snapshot_key(record.instance_id, record.name);
}

struct Snapshots::Impl {
    Connection& connection;
    Table<SnapshotRecord>& table;
};

Snapshots::Snapshots(Connection& connection)
    : impl_(std::make_unique<Impl>(Impl{connection, connection.memory.snapshots})) {}
Snapshots::~Snapshots() = default;

Result<> Snapshots::load() {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&]() -> Result<> {
        LX_TRY_AS(auto links, read_profiles(db, kSnapshotProfiles));
        LX_TRY_AS(
            auto rows,
            db.prepare("SELECT id, instance_id, name, volume, description, architecture, ephemeral, "
                       "config, devices, size_bytes, created_at, last_used_at, expires_at FROM snapshots"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            LX_TRY_AS(auto record, read_snapshot(rows));
            record.profiles = std::move(links[record.id]);
            impl_->table.put(snapshot_key(record), record);
        }
    });
}

Result<SnapshotPtr> Snapshots::create(SnapshotRecord record) {
    auto& db = impl_->connection;
    return db.write_record<SnapshotPtr>(Durability::full, [&]() -> Result<SnapshotPtr> {
        if (find(record.instance_id, record.name)) return snapshot_exists(record.name);
        LX_TRY(db.execute(
            "INSERT INTO snapshots (instance_id, name, volume, description, architecture, ephemeral, "
            "config, devices, size_bytes, created_at, last_used_at, expires_at) "
            "VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            record.instance_id, record.name, record.volume, record.description, record.architecture,
            record.ephemeral, encode(record.config), encode(record.devices), record.size_bytes,
            record.created_at, record.last_used_at, record.expires_at));
        record.id = db.last_insert_id();
        LX_TRY(replace_profiles(db, kSnapshotProfiles, record.id, record.profiles));
        const std::string key = snapshot_key(record);
        return impl_->table.put(key, std::move(record));
    });
}

SnapshotPtr Snapshots::find(std::int64_t instance_id, const std::string& name) const {
    return impl_->table.find(snapshot_key(instance_id, name));
}

std::vector<SnapshotPtr> Snapshots::list(std::int64_t instance_id) const {
    auto all = impl_->table.with_prefix(snapshot_prefix(instance_id));
    std::ranges::stable_sort(
        all, [](const SnapshotPtr& a, const SnapshotPtr& b) { return a->created_at < b->created_at; });
    return all;
}

std::vector<SnapshotPtr> Snapshots::list_all() const { return impl_->table.list(); }
std::uint64_t Snapshots::generation() const { return impl_->table.generation(); }

Result<SnapshotPtr> Snapshots::update(const SnapshotRecord& record) {
    auto& db = impl_->connection;
    return db.write_record<SnapshotPtr>(Durability::full, [&]() -> Result<SnapshotPtr> {
        const SnapshotPtr current = find(record.instance_id, record.name);
        if (!current || current->id != record.id) return no_snapshot(record.name);
        SnapshotRecord next = *current;
        next.volume = record.volume;
        next.devices = record.devices;
        next.expires_at = record.expires_at;
        if (next.profiles != record.profiles) {
            next.profiles = record.profiles;
            LX_TRY(replace_profiles(db, kSnapshotProfiles, next.id, next.profiles));
        }
        LX_TRY(db.execute("UPDATE snapshots SET volume=?, devices=?, expires_at=? WHERE id=?", next.volume,
                          encode(next.devices), next.expires_at, next.id));
        return impl_->table.put(snapshot_key(record), std::move(next));
    });
}

Result<SnapshotPtr> Snapshots::rename(std::int64_t instance_id, const std::string& name,
                                      const std::string& new_name) {
    auto& db = impl_->connection;
    return db.write_record<SnapshotPtr>(Durability::full, [&]() -> Result<SnapshotPtr> {
        const SnapshotPtr current = find(instance_id, name);
        if (!current) return no_snapshot(name);
        if (find(instance_id, new_name)) return snapshot_exists(new_name);
        SnapshotRecord next = *current;
        next.name = new_name;
        LX_TRY(db.execute("UPDATE snapshots SET name=? WHERE id=?", new_name, next.id));
        impl_->table.erase(snapshot_key(*current));
        return impl_->table.put(snapshot_key(instance_id, new_name), std::move(next));
    });
}

Result<> Snapshots::remove(std::int64_t instance_id, const std::string& name) {
    auto& db = impl_->connection;
    return db.write(Durability::full, [&]() -> Result<> {
        const SnapshotPtr current = find(instance_id, name);
        if (!current) return no_snapshot(name);
        LX_TRY(db.execute("DELETE FROM snapshots WHERE id=?", current->id));
        impl_->table.erase(snapshot_key(*current));
        return {};
    });
}

}  // namespace lxmgr::database
