#include <fmt/format.h>

#include "lxd-daemon/database/codec.h"
#include "lxd-daemon/database/connection.h"
#include "lxd-daemon/database/network_addresses.h"

namespace lxmgr::database {
namespace {

std::unexpected<Error> no_network(const std::string& name) {
    return fail(Status::not_found, fmt::format("Network '{}' not found", name));
}
std::unexpected<Error> network_exists(const std::string& name) {
    return fail(Status::conflict, fmt::format("Network '{}' already exists", name));
}

}  // namespace

struct Networks::Impl {
    Connection& connection;
    Table<NetworkRecord>& table;
    NetworkAddresses addresses;
};

Networks::Networks(Connection& connection)
    : impl_(std::make_unique<Impl>(
          Impl{connection, connection.memory.networks, NetworkAddresses(connection)})) {}
Networks::~Networks() = default;

Result<> Networks::load() {
    auto& db = impl_->connection;
    auto loaded = db.write(Durability::normal, [&]() -> Result<> {
        LX_TRY_AS(auto rows, db.prepare("SELECT id, name, type, description, config FROM networks"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            const std::string name = rows.string(1);
            LX_TRY_AS(auto config, decode_config(rows.text(4), fmt::format("network '{}'", name)));
            impl_->table.put(name,
                             {rows.integer(0), name, rows.string(3), rows.string(2), std::move(config)});
        }
    });
    LX_TRY(std::move(loaded));
    return impl_->addresses.load();
}

Result<NetworkPtr> Networks::create(NetworkRecord record) {
    return impl_->connection.write_record<NetworkPtr>(Durability::full, [&]() -> Result<NetworkPtr> {
        if (find(record.name)) return network_exists(record.name);
        LX_TRY(impl_->connection.execute(
            "INSERT INTO networks (name, type, description, config) VALUES (?,?,?,?)", record.name,
            record.type, record.description, encode(record.config)));
        record.id = impl_->connection.last_insert_id();
        const std::string name = record.name;
        return impl_->table.put(name, std::move(record));
    });
}

NetworkPtr Networks::find(const std::string& name) const { return impl_->table.find(name); }
std::vector<NetworkPtr> Networks::list() const { return impl_->table.list(); }

Result<NetworkPtr> Networks::update(const NetworkRecord& record) {
    return impl_->connection.write_record<NetworkPtr>(Durability::full, [&]() -> Result<NetworkPtr> {
        const NetworkPtr current = find(record.name);
        if (!current || (record.id != 0 && record.id != current->id)) return no_network(record.name);
        NetworkRecord next = *current;
        next.description = record.description;
        next.config = record.config;
        LX_TRY(impl_->connection.execute("UPDATE networks SET description=?, config=? WHERE id=?",
                                         next.description, encode(next.config), next.id));
        return impl_->table.put(record.name, std::move(next));
    });
}

Result<> Networks::rename(const std::string& name, const std::string& new_name) {
    return impl_->connection.write(Durability::full, [&]() -> Result<> {
        const NetworkPtr current = find(name);
        if (!current) return no_network(name);
        if (find(new_name)) return network_exists(new_name);
        NetworkRecord next = *current;
        next.name = new_name;
        LX_TRY(impl_->connection.execute("UPDATE networks SET name=? WHERE id=?", new_name, next.id));
        impl_->addresses.network_renamed(name, new_name);
        impl_->table.erase(name);
        impl_->table.put(new_name, std::move(next));
        return {};
    });
}

Result<> Networks::remove(const std::string& name) {
    return impl_->connection.write(Durability::full, [&]() -> Result<> {
        const NetworkPtr current = find(name);
        if (!current) return no_network(name);
        LX_TRY(impl_->connection.execute("DELETE FROM networks WHERE id=?", current->id));
        impl_->addresses.network_removed(name);
        erase_objects_of(impl_->connection, current->id);
        impl_->table.erase(name);
        return {};
    });
}

std::vector<AddressRecord> Networks::addresses(const std::string& network) const {
    return impl_->addresses.of_network(network);
}
std::vector<AddressRecord> Networks::addresses_of(const std::string& instance) const {
    return impl_->addresses.of_instance(instance);
}
Result<> Networks::claim(const AddressRecord& record) { return impl_->addresses.claim(record); }
Result<> Networks::release(const std::string& network, const std::string& instance,
                           const std::string& device) {
    return impl_->addresses.release(network, instance, device);
}
Result<> Networks::release_all(const std::string& instance) { return impl_->addresses.release_all(instance); }
Result<> Networks::rename_instance(const std::string& instance, const std::string& new_name) {
    return impl_->addresses.rename_instance(instance, new_name);
}

}  // namespace lxmgr::database
