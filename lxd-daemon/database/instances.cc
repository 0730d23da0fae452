#include <fmt/format.h>

#include <set>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/database/codec.h"
#include "lxd-daemon/database/connection.h"
#include "lxd-daemon/database/profile_links.h"

namespace lxmgr::database {
namespace {

constexpr ProfileLink kInstanceProfiles{"instance_profiles", "instance_id"};

std::unexpected<Error> no_instance(const std::string& name) {
    return fail(Status::not_found, fmt::format("Instance '{}' not found", name));
}
std::unexpected<Error> instance_exists(const std::string& name) {
    return fail(Status::conflict, fmt::format("Instance '{}' already exists", name));
}

Result<InstanceRecord> read_instance(const Statement& row) {
    InstanceRecord out;
    out.id = row.integer(0);
    out.name = row.string(1);
    out.type = row.string(2);
    out.description = row.string(3);
    out.architecture = row.string(4);
    out.pool = row.string(5);
    out.ephemeral = row.flag(6);
    const std::string what = fmt::format("instance '{}'", out.name);
    LX_TRY_AS(out.config, decode_config(row.text(7), what));
    LX_TRY_AS(out.devices, decode_devices(row.text(8), what));
    out.created_at = row.time(9);
    out.last_used_at = row.time(10);
    out.metadata_id = row.integer(11);
    return out;
}

void apply(const ConfigChanges& changes, api::ConfigMap& config) {
    for (const auto& [key, value] : changes) {
        if (value) {
            config[key] = *value;
        } else {
            config.erase(key);
        }
    }
}

}  // namespace

struct Instances::Impl {
    Connection& connection;
    Table<InstanceRecord>& table;

    Result<> insert(InstanceRecord& record) {
        LX_TRY(connection.execute(
            "INSERT INTO instances (name, type, description, architecture, pool, ephemeral, config, "
            "devices, created_at, last_used_at, metadata_id) VALUES (?,?,?,?,?,?,?,?,?,?,NULLIF(?,0))",
            record.name, record.type, record.description, record.architecture, record.pool, record.ephemeral,
            encode(record.config), encode(record.devices), record.created_at, record.last_used_at,
            record.metadata_id));
        record.id = connection.last_insert_id();
        return replace_profiles(connection, kInstanceProfiles, record.id, record.profiles);
    }

    Result<> rewrite(const InstanceRecord& record) {
        LX_TRY(connection.execute(
            "UPDATE instances SET type=?, description=?, architecture=?, pool=?, ephemeral=?, config=?, "
            "devices=?, last_used_at=? WHERE id=?",
            record.type, record.description, record.architecture, record.pool, record.ephemeral,
            encode(record.config), encode(record.devices), record.last_used_at, record.id));
        return replace_profiles(connection, kInstanceProfiles, record.id, record.profiles);
    }
};

Instances::Instances(Connection& connection)
    : impl_(std::make_unique<Impl>(Impl{connection, connection.memory.instances})) {}
Instances::~Instances() = default;

Result<> Instances::load() {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&]() -> Result<> {
        LX_TRY_AS(auto links, read_profiles(db, kInstanceProfiles));
        LX_TRY_AS(
            auto rows,
            db.prepare("SELECT id, name, type, description, architecture, pool, ephemeral, config, devices, "
                       "created_at, last_used_at, metadata_id FROM instances"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            LX_TRY_AS(auto record, read_instance(rows));
            record.profiles = std::move(links[record.id]);
            const std::string name = record.name;
            impl_->table.put(name, std::move(record));
        }
    });
}

Result<InstancePtr> Instances::create(InstanceRecord record) {
    return impl_->connection.write_record<InstancePtr>(Durability::full, [&]() -> Result<InstancePtr> {
        if (find(record.name)) return instance_exists(record.name);
        const auto project = api::split_instance_key(record.name).project;
        LX_TRY(impl_->connection.memory.require_project(project));
        LX_TRY(impl_->insert(record));
        const std::string name = record.name;
        return impl_->table.put(name, std::move(record));
    });
}

InstancePtr Instances::find(const std::string& name) const { return impl_->table.find(name); }
std::vector<InstancePtr> Instances::list() const { return impl_->table.list(); }
std::uint64_t Instances::generation() const { return impl_->table.generation(); }

Result<InstancePtr> Instances::update(const InstanceRecord& record) {
    return impl_->connection.write_record<InstancePtr>(Durability::full, [&]() -> Result<InstancePtr> {
        const InstancePtr current = find(record.name);
        if (!current || (record.id != 0 && record.id != current->id)) return no_instance(record.name);
        InstanceRecord next = record;
        next.id = current->id;
        next.created_at = current->created_at;
        next.metadata_id = current->metadata_id;
        LX_TRY(impl_->rewrite(next));
        return impl_->table.put(record.name, std::move(next));
    });
}

Result<InstancePtr> Instances::change_config(const std::string& name, const ConfigChanges& changes,
                                             bool durable, std::optional<Time> last_used_at) {
    return impl_->connection.write_record<InstancePtr>(
        durable ? Durability::full : Durability::normal, [&]() -> Result<InstancePtr> {
            const InstancePtr current = find(name);
            if (!current) return no_instance(name);
            InstanceRecord next = *current;
            apply(changes, next.config);
            if (last_used_at) next.last_used_at = *last_used_at;
            LX_TRY(impl_->connection.execute("UPDATE instances SET config=?, last_used_at=? WHERE id=?",
                                             encode(next.config), next.last_used_at, next.id));
            return impl_->table.put(name, std::move(next));
        });
}

Result<InstancePtr> Instances::rename(const std::string& name, const std::string& new_name) {
    return impl_->connection.write_record<InstancePtr>(Durability::full, [&]() -> Result<InstancePtr> {
        const InstancePtr current = find(name);
        if (!current) return no_instance(name);
        if (find(new_name)) return instance_exists(new_name);
        const auto project = api::split_instance_key(new_name).project;
        LX_TRY(impl_->connection.memory.require_project(project));
        InstanceRecord next = *current;
        next.name = new_name;
        LX_TRY(impl_->connection.execute("UPDATE instances SET name=? WHERE id=?", new_name, next.id));
        impl_->table.erase(name);
        return impl_->table.put(new_name, std::move(next));
    });
}

Result<InstancePtr> Instances::set_metadata(const std::string& name, std::int64_t metadata_id) {
    return impl_->connection.write_record<InstancePtr>(Durability::full, [&]() -> Result<InstancePtr> {
        const InstancePtr current = find(name);
        if (!current) return no_instance(name);
        InstanceRecord next = *current;
        next.metadata_id = metadata_id;
        LX_TRY(impl_->connection.execute("UPDATE instances SET metadata_id=NULLIF(?,0) WHERE id=?",
                                         metadata_id, next.id));
        return impl_->table.put(name, std::move(next));
    });
}

Result<> Instances::remove(const std::string& name) {
    return impl_->connection.write(Durability::full, [&]() -> Result<> {
        const InstancePtr current = find(name);
        if (!current) return no_instance(name);
        LX_TRY(impl_->connection.execute("DELETE FROM instances WHERE id=?", current->id));
        auto& snapshots = impl_->connection.memory.snapshots;  // in SQL they cascade
        for (const auto& snapshot : snapshots.with_prefix(snapshot_prefix(current->id)))
            snapshots.erase(snapshot_key(*snapshot));
        auto& backups = impl_->connection.memory.backups;
        const std::string prefix = backup_prefix(current->id, 0);
        for (const auto& backup : backups.with_prefix(prefix)) backups.erase(prefix + backup->name);
        impl_->table.erase(name);
        return {};
    });
}

}  // namespace lxmgr::database
