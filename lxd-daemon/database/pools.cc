#include <fmt/format.h>

#include "lxd-daemon/database/codec.h"
#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {
namespace {

std::unexpected<Error> no_pool(const std::string& name) {
    return fail(Status::not_found, fmt::format("Storage pool '{}' not found", name));
}

}  // namespace

struct Pools::Impl {
    Connection& connection;
    Table<PoolRecord>& table;
};

Pools::Pools(Connection& connection)
    : impl_(std::make_unique<Impl>(Impl{connection, connection.memory.pools})) {}
Pools::~Pools() = default;

Result<> Pools::load() {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&]() -> Result<> {
        LX_TRY_AS(auto rows, db.prepare("SELECT id, name, driver, description, config FROM storage_pools"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            const std::string name = rows.string(1);
            LX_TRY_AS(auto config, decode_config(rows.text(4), fmt::format("storage pool '{}'", name)));
            impl_->table.put(name,
                             {rows.integer(0), name, rows.string(2), rows.string(3), std::move(config)});
        }
    });
}

Result<PoolPtr> Pools::create(PoolRecord record) {
    return impl_->connection.write_record<PoolPtr>(Durability::full, [&]() -> Result<PoolPtr> {
        if (find(record.name)) {
            return fail(Status::conflict, fmt::format("Storage pool '{}' already exists", record.name));
        }
        LX_TRY(impl_->connection.execute(
            "INSERT INTO storage_pools (name, driver, description, config) VALUES (?,?,?,?)", record.name,
            record.driver, record.description, encode(record.config)));
        record.id = impl_->connection.last_insert_id();
        const std::string name = record.name;
        return impl_->table.put(name, std::move(record));
    });
}

PoolPtr Pools::find(const std::string& name) const { return impl_->table.find(name); }
std::vector<PoolPtr> Pools::list() const { return impl_->table.list(); }

Result<PoolPtr> Pools::update(const PoolRecord& record) {
    return impl_->connection.write_record<PoolPtr>(Durability::full, [&]() -> Result<PoolPtr> {
        const PoolPtr current = find(record.name);
        if (!current || (record.id != 0 && record.id != current->id)) return no_pool(record.name);
        PoolRecord next = *current;
        next.description = record.description;
        next.config = record.config;
        LX_TRY(impl_->connection.execute("UPDATE storage_pools SET description=?, config=? WHERE id=?",
                                         next.description, encode(next.config), next.id));
        return impl_->table.put(record.name, std::move(next));
    });
}

Result<> Pools::remove(const std::string& name) {
    return impl_->connection.write(Durability::full, [&]() -> Result<> {
        const PoolPtr current = find(name);
        if (!current) return no_pool(name);
        const auto users = impl_->connection.memory.instances.select(
            [&](const InstanceRecord& instance) { return instance.pool == name; });
        const bool held = !users.empty() || !impl_->connection.memory.volumes.with_prefix(name + "/").empty();
        if (held) return fail(Status::bad_request, "The storage pool is currently in use");
        LX_TRY(impl_->connection.execute("DELETE FROM storage_pools WHERE id=?", current->id));
        impl_->table.erase(name);
        return {};
    });
}

}  // namespace lxmgr::database
