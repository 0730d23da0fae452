#include "lxd-daemon/database/network_objects.h"

#include <fmt/format.h>

#include "lxd-daemon/database/connection.h"
#include "lxd-daemon/database/network_addresses.h"

namespace lxmgr::database {
namespace {

std::string object_prefix(const std::string& kind, std::int64_t owner) {
    return fmt::format("{}/{}/", kind, owner);
}
std::string object_key(const NetworkObjectRecord& record) {
    return object_prefix(record.kind, record.network_id != 0 ? record.network_id : record.parent_id) +
           record.name;
}
std::unexpected<Error> no_object(const NetworkObjectRecord& record) {
    return fail(Status::not_found, fmt::format("Network {} '{}' not found", record.kind, record.name));
}
std::unexpected<Error> object_exists(const NetworkObjectRecord& record) {
    return fail(Status::conflict, fmt::format("Network {} '{}' already exists", record.kind, record.name));
}

}  // namespace

struct NetworkObjects::Impl {
    Connection& connection;
    Table<NetworkObjectRecord>& table;
};

NetworkObjects::NetworkObjects(Connection& connection)
    : impl_(std::make_unique<Impl>(Impl{connection, connection.memory.network_objects})) {}
NetworkObjects::~NetworkObjects() = default;

Result<> NetworkObjects::load() {
    auto& db = impl_->connection;
    return db.write(Durability::normal, [&]() -> Result<> {
        LX_TRY_AS(auto rows,
                  db.prepare("SELECT id, kind, network_id, parent_id, name, content FROM network_objects"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            const NetworkObjectRecord record{rows.integer(0), rows.string(1), rows.integer(2),
                                             rows.integer(3), rows.string(4), rows.string(5)};
            impl_->table.put(object_key(record), record);
        }
    });
}

Result<NetworkObjectPtr> NetworkObjects::create(NetworkObjectRecord record) {
    auto& db = impl_->connection;
    return db.write_record<NetworkObjectPtr>(Durability::full, [&]() -> Result<NetworkObjectPtr> {
        if (impl_->table.find(object_key(record))) return object_exists(record);
        LX_TRY(
            db.execute("INSERT INTO network_objects (kind, network_id, parent_id, name, content) VALUES "
                       "(?,NULLIF(?,0),NULLIF(?,0),?,?)",
                       record.kind, record.network_id, record.parent_id, record.name, record.content));
        record.id = db.last_insert_id();
        const std::string key = object_key(record);
        return impl_->table.put(key, std::move(record));
    });
}

NetworkObjectPtr NetworkObjects::find(const std::string& kind, std::int64_t owner,
                                      const std::string& name) const {
    return impl_->table.find(object_prefix(kind, owner) + name);
}
std::vector<NetworkObjectPtr> NetworkObjects::list(const std::string& kind, std::int64_t owner) const {
    return impl_->table.with_prefix(object_prefix(kind, owner));
}
std::vector<NetworkObjectPtr> NetworkObjects::list_all(const std::string& kind) const {
    return impl_->table.with_prefix(kind + "/");
}

Result<NetworkObjectPtr> NetworkObjects::update(const NetworkObjectRecord& record) {
    auto& db = impl_->connection;
    return db.write_record<NetworkObjectPtr>(Durability::full, [&]() -> Result<NetworkObjectPtr> {
        const auto current = impl_->table.find(object_key(record));
        if (!current) return no_object(record);
        NetworkObjectRecord next = *current;
        next.content = record.content;
        LX_TRY(db.execute("UPDATE network_objects SET content=? WHERE id=?", next.content, next.id));
        const std::string key = object_key(next);
        return impl_->table.put(key, std::move(next));
    });
}

Result<NetworkObjectPtr> NetworkObjects::rename(const NetworkObjectRecord& record,
                                                const std::string& new_name) {
    auto& db = impl_->connection;
    return db.write_record<NetworkObjectPtr>(Durability::full, [&]() -> Result<NetworkObjectPtr> {
        const auto current = impl_->table.find(object_key(record));
        if (!current) return no_object(record);
        NetworkObjectRecord next = *current;
        next.name = new_name;
        if (impl_->table.find(object_key(next))) return object_exists(next);
        LX_TRY(db.execute("UPDATE network_objects SET name=? WHERE id=?", new_name, next.id));
        impl_->table.erase(object_key(record));
        const std::string key = object_key(next);
        return impl_->table.put(key, std::move(next));
    });
}

Result<> NetworkObjects::remove(const NetworkObjectRecord& record) {
    auto& db = impl_->connection;
    return db.write(Durability::full, [&]() -> Result<> {
        const auto current = impl_->table.find(object_key(record));
        if (!current || current->id != record.id) return no_object(record);
        LX_TRY(db.execute("DELETE FROM network_objects WHERE id=?", record.id));
        const auto below = impl_->table.select(
            [&record](const NetworkObjectRecord& other) { return other.parent_id == record.id; });
        for (const auto& other : below) impl_->table.erase(object_key(*other));
        impl_->table.erase(object_key(record));
        return {};
    });
}

void erase_objects_of(Connection& connection, std::int64_t network_id) {
    auto& table = connection.memory.network_objects;
    const auto gone = table.select(
        [network_id](const NetworkObjectRecord& record) { return record.network_id == network_id; });
    for (const auto& record : gone) table.erase(object_key(*record));
}

}  // namespace lxmgr::database
