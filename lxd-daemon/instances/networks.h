#pragma once
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "network/bridge.h"

namespace lxmgr::instances {

/// The managed networks as they are in use: the database's rows, each with its live bridge. Thread-safe.
class Networks {
public:
    /// @param state_dir the daemon's directory; a network's files are in state_dir/networks/NAME
    Networks(database::Database& database, std::string state_dir);
    Networks(Networks&&) = delete;

    /// Makes the kernel's state equal to the database's for every network; failures become warnings.
    void apply_all();

    /// Completes and validates the config, writes the row, then brings the bridge up; a failure leaves
    /// neither. Errors: `bad_request`, `conflict`.
    Result<database::NetworkPtr> create(const database::NetworkRecord& record);
    /// Replaces description and config; on failure the old config is in force again.
    Result<database::NetworkPtr> update(const database::NetworkRecord& record);
    /// Errors: `bad_request` while instances or profiles use it.
    Result<> remove(const std::string& name);
    Result<> rename(const std::string& name, const std::string& new_name);
    [[nodiscard]] std::vector<std::string> used_by(const std::string& name) const;
    Result<std::vector<network::Lease>> leases(const std::string& name) const;

    /// The NIC's address for life: the one it holds, or a newly chosen one (`requested_ipv4` is a static
    /// address set by the user, or empty). Tells dnsmasq. Errors: `not_found` for the network; `conflict` for
    /// a taken address.
    Result<database::AddressRecord> claim(const std::string& network, const std::string& instance,
                                          const std::string& device, const std::string& hwaddr,
                                          const std::string& requested_ipv4);
    Result<> release(const std::string& network, const std::string& instance, const std::string& device);
    /// All claims of an instance, at its deletion.
    Result<> release_all(const std::string& instance);
    /// Tells dnsmasq that the claims, which the database holds under the new name already, have another host
    /// name.
    Result<> announce_rename(const std::string& instance, const std::string& new_name);

private:
    Result<network::Bridge*> bridge(const std::string& name) const;
    Result<> apply(const database::NetworkRecord& record);
    std::vector<network::AddressClaim> claims(const std::string& network) const;

    database::Database& database_;
    std::string state_dir_;
    mutable std::mutex mutex_;  ///< of bridges_
    std::mutex change_;         ///< one change of networks or claims at a time
    std::map<std::string, std::unique_ptr<network::Bridge>> bridges_;
};

}  // namespace lxmgr::instances
