#pragma once
#include <functional>
#include <string>
#include <vector>

#include "lxd-daemon/api/network_zone.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "network/dns_message.h"

namespace lxmgr::instances {

/// DNS zones: what users put there, and the instances of the networks that name a zone in dns.zone.*.
/// Thread-safe; reads are of memory.
class NetworkZones {
public:
    explicit NetworkZones(database::Database& database) : database_(database) {}

    [[nodiscard]] std::vector<api::NetworkZone> zones() const;
    Result<api::NetworkZone> zone(const std::string& name) const;
    /// Errors: `bad_request`, `conflict`.
    Result<> create(const api::NetworkZone& zone);
    Result<> replace(const api::NetworkZone& zone);
    /// Errors: `bad_request` while a network uses it.
    Result<> remove(const std::string& name);

    [[nodiscard]] Result<std::vector<api::ZoneRecord>> records(const std::string& zone) const;
    Result<api::ZoneRecord> record(const std::string& zone, const std::string& name) const;
    Result<> create_record(const std::string& zone, const api::ZoneRecord& record);
    Result<> replace_record(const std::string& zone, const api::ZoneRecord& record);
    Result<> remove_record(const std::string& zone, const std::string& name);

    /// Whether the network's zones are there. Errors: `bad_request`.
    Result<> check_network(const database::NetworkRecord& network) const;

    /// Who serves the zones, on the I/O thread: told of core.dns_address.
    void set_listener(std::function<Result<>(const std::string&)> listener) {
        listener_ = std::move(listener);
    }
    Result<> listen(const std::string& address) const { return listener_ ? listener_(address) : Result<>{}; }

    /// Everything in a zone, the SOA record first. Errors: `not_found`; `forbidden` for a peer that is none
    /// of its.
    Result<std::vector<network::dns::Record>> transfer(const std::string& zone,
                                                       const std::string& peer) const;

private:
    [[nodiscard]] database::NetworkObjectPtr row(const std::string& zone) const;
    void add_network(const api::NetworkZone& zone, const database::NetworkRecord& network,
                     std::vector<network::dns::Record>& out) const;

    database::Database& database_;
    std::function<Result<>(const std::string&)> listener_;
};

}  // namespace lxmgr::instances
