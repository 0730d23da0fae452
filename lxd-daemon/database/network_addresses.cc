#include "lxd-daemon/database/network_addresses.h"

#include <fmt/format.h>

#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {
namespace {

// Device names may hold any printable character, but never NUL.
std::string address_key(const AddressRecord& record) {
    return fmt::format("{}{}{}{}{}", record.network, '\0', record.instance, '\0', record.device);
}

std::vector<AddressRecord> copies(const std::vector<std::shared_ptr<const AddressRecord>>& rows) {
    std::vector<AddressRecord> out;
    out.reserve(rows.size());
    for (const auto& row : rows) out.push_back(*row);
    return out;
}

bool same_nic(const AddressRecord& a, const AddressRecord& b) {
    return a.instance == b.instance && a.device == b.device;
}

bool collide(const AddressRecord& a, const AddressRecord& b) {
    if (a.network != b.network || same_nic(a, b)) return false;
    return (!a.ipv4.empty() && a.ipv4 == b.ipv4) || (!a.ipv6.empty() && a.ipv6 == b.ipv6);
}

}  // namespace

Result<> NetworkAddresses::load() {
    return connection_.write(Durability::normal, [&]() -> Result<> {
        LX_TRY(connection_.execute(
            "DELETE FROM network_addresses WHERE instance NOT IN (SELECT name FROM instances)"));
        LX_TRY_AS(auto rows,
                  connection_.prepare("SELECT name, instance, device, hwaddr, ipv4, ipv6, is_static FROM "
                                      "network_addresses JOIN networks ON networks.id = network_id"));
        while (true) {
            LX_TRY_AS(const bool more, rows.step());
            if (!more) return {};
            AddressRecord record{rows.string(0), rows.string(1), rows.string(2), rows.string(3),
                                 rows.string(4), rows.string(5), rows.flag(6)};
            const std::string key = address_key(record);
            connection_.memory.addresses.put(key, std::move(record));
        }
    });
}

std::vector<AddressRecord> NetworkAddresses::of_network(const std::string& network) const {
    return copies(
        connection_.memory.addresses.select([&](const AddressRecord& r) { return r.network == network; }));
}

std::vector<AddressRecord> NetworkAddresses::of_instance(const std::string& instance) const {
    return copies(
        connection_.memory.addresses.select([&](const AddressRecord& r) { return r.instance == instance; }));
}

// Claims and releases are not synced: they are a part of starting and deleting instances, which would pay for
// it. A claim that a power cut takes away is chosen again, the same where it is free; a claim without its
// instance is dropped by load().
Result<> NetworkAddresses::claim(const AddressRecord& record) {
    return connection_.write(Durability::normal, [&]() -> Result<> {
        const auto network = connection_.memory.networks.find(record.network);
        if (!network) return fail(Status::not_found, fmt::format("Network '{}' not found", record.network));
        const auto holders = connection_.memory.addresses.select(
            [&](const AddressRecord& other) { return collide(record, other); });
        if (!holders.empty()) {
            const AddressRecord& holder = *holders.front();
            return fail(
                Status::conflict,
                fmt::format("Address '{}' of network '{}' is in use by {}",
                            holder.ipv4 == record.ipv4 && !record.ipv4.empty() ? record.ipv4 : record.ipv6,
                            record.network, api::named_to(record.instance, holder.instance)));
        }
        LX_TRY(connection_.execute(
            "INSERT OR REPLACE INTO network_addresses (network_id, instance, device, hwaddr, "
            "ipv4, ipv6, is_static) VALUES (?,?,?,?,?,?,?)",
            network->id, record.instance, record.device, record.hwaddr, record.ipv4, record.ipv6,
            record.is_static));
        connection_.memory.addresses.put(address_key(record), record);
        return {};
    });
}

Result<> NetworkAddresses::release(const std::string& network, const std::string& instance,
                                   const std::string& device) {
    return connection_.write(Durability::normal, [&]() -> Result<> {
        const auto row = connection_.memory.networks.find(network);
        if (!row) return {};
        LX_TRY(connection_.execute(
            "DELETE FROM network_addresses WHERE network_id=? AND instance=? AND device=?", row->id, instance,
            device));
        AddressRecord record;
        record.network = network;
        record.instance = instance;
        record.device = device;
        connection_.memory.addresses.erase(address_key(record));
        return {};
    });
}

Result<> NetworkAddresses::release_all(const std::string& instance) {
    return connection_.write(Durability::normal, [&]() -> Result<> {
        LX_TRY(connection_.execute("DELETE FROM network_addresses WHERE instance=?", instance));
        for (const auto& record : of_instance(instance))
            connection_.memory.addresses.erase(address_key(record));
        return {};
    });
}

Result<> NetworkAddresses::rename_instance(const std::string& instance, const std::string& new_name) {
    return connection_.write(Durability::full, [&]() -> Result<> {
        LX_TRY(connection_.execute("UPDATE network_addresses SET instance=? WHERE instance=?", new_name,
                                   instance));
        for (auto& record : of_instance(instance)) {
            connection_.memory.addresses.erase(address_key(record));
            record.instance = new_name;
            connection_.memory.addresses.put(address_key(record), record);
        }
        return {};
    });
}

void NetworkAddresses::network_renamed(const std::string& name, const std::string& new_name) {
    for (auto& record : of_network(name)) {
        connection_.memory.addresses.erase(address_key(record));
        record.network = new_name;
        connection_.memory.addresses.put(address_key(record), record);
    }
}

void NetworkAddresses::network_removed(const std::string& name) {
    for (const auto& record : of_network(name)) connection_.memory.addresses.erase(address_key(record));
}

}  // namespace lxmgr::database
