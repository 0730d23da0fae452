#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/database/database.h"

/// Private to the room: the addresses that NICs hold, see Networks.
namespace lxmgr::database {

/// Only the records in memory: the rows go with their network. Inside a write().
void erase_objects_of(Connection& connection, std::int64_t network_id);

class NetworkAddresses {
public:
    explicit NetworkAddresses(Connection& connection) : connection_(connection) {}
    /// Also drops the claims of instances that are not there: their creation was cut off by a crash.
    Result<> load();
    [[nodiscard]] std::vector<AddressRecord> of_network(const std::string& network) const;
    [[nodiscard]] std::vector<AddressRecord> of_instance(const std::string& instance) const;
    Result<> claim(const AddressRecord& record);
    Result<> release(const std::string& network, const std::string& instance, const std::string& device);
    Result<> release_all(const std::string& instance);
    Result<> rename_instance(const std::string& instance, const std::string& new_name);
    /// Only the records in memory: the rows refer to their network by id. Inside a write().
    void network_renamed(const std::string& name, const std::string& new_name);
    void network_removed(const std::string& name);

private:
    Connection& connection_;
};

}  // namespace lxmgr::database
