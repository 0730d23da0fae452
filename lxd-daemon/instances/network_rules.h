#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/api/network_acl.h"
#include "lxd-daemon/api/network_forward.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/network_zones.h"
#include "network/firewall_policy.h"
#include "network/proxy_nat.h"

namespace lxmgr::instances {

class Networks;

/// ACLs, and the forwards of networks. Changes hold at once on all networks that they are about. Thread-safe;
/// reads are of memory.
class NetworkRules {
public:
    NetworkRules(database::Database& database, Networks& networks)
        : database_(database), networks_(networks), zones_(database) {}
    [[nodiscard]] NetworkZones& zones() { return zones_; }

    /// What is in force on a network. Errors: `bad_request` when it names an ACL that there is not.
    Result<network::FirewallPolicy> policy_of(const database::NetworkRecord& network) const;

    [[nodiscard]] std::vector<api::NetworkAcl> acls() const;
    Result<api::NetworkAcl> acl(const std::string& name) const;
    /// Errors: `bad_request` that names the rule; `conflict`.
    Result<> create_acl(const api::NetworkAcl& acl);
    Result<> replace_acl(const api::NetworkAcl& acl);
    /// Errors: `bad_request` while a network uses it.
    Result<> rename_acl(const std::string& name, const std::string& new_name);
    Result<> remove_acl(const std::string& name);

    /// Whether no network forwards what a translation is to take. Errors: `conflict`.
    [[nodiscard]] Result<> check_unforwarded(const network::ProxyNat& nat) const;
    [[nodiscard]] std::vector<api::NetworkForward> forwards(const database::NetworkRecord& network) const;
    Result<api::NetworkForward> forward(const database::NetworkRecord& network,
                                        const std::string& address) const;
    /// Errors: `bad_request` that names the port; `conflict` when the address is taken.
    Result<> create_forward(const database::NetworkRecord& network, const api::NetworkForward& forward);
    Result<> replace_forward(const database::NetworkRecord& network, const api::NetworkForward& forward);
    Result<> remove_forward(const database::NetworkRecord& network, const std::string& address);
    /// Of a network's forwards: no NIC is given one of them.
    [[nodiscard]] std::vector<std::string> listen_addresses(std::int64_t network_id) const;

private:
    [[nodiscard]] std::vector<std::string> networks_with(const std::string& acl) const;
    Result<> check_listen_address(const database::NetworkRecord& network, const std::string& address) const;
    Result<> check_unheld_address(const std::string& network, const std::string& address) const;

    database::Database& database_;
    Networks& networks_;
    NetworkZones zones_;
};

}  // namespace lxmgr::instances
