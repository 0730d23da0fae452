#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "network/bridge.h"
#include "network/watch.h"

namespace lxmgr::instances {

class NetworkRules;  ///< network_rules.h

/// The keys of a NIC whose network is of type macvlan or physical, as one without a network would have them;
/// nullopt: it is on none such.
std::optional<api::ConfigMap> nic_on_parent(database::Database& database, const api::ConfigMap& keys);

/// By which name guests find an instance, by DNS on its networks: its own, and outside of the project
/// "default" with '_' and the project behind it. No two have the same, whatever their projects' users call
/// them.
std::string network_name_of(const std::string& instance_key);

/// The managed networks as they are in use: the database's rows, each with its live bridge. Thread-safe.
class Networks {
public:
    /// @param state_dir the daemon's directory; a network's files are in state_dir/networks/NAME
    Networks(database::Database& database, std::string state_dir);
    Networks(Networks&&) = delete;
    ~Networks();

    /// From now on: `watch` follows the servers, and `background` runs work on another thread. Both outlive
    /// this.
    void supervise(network::Watch& watch, std::function<void(std::function<void()>)> background);
    /// Whether repair() has anything to look at. Memory only.
    [[nodiscard]] bool concerns(const network::Watch::Events& events) const;
    /// Sets right what others did to networks, and brings servers back that have ended. True: NICs of
    /// instances have lost something too.
    bool repair(const network::Watch::Events& events);

    /// Looks in the background whether the servers of networks answer on which instances run: one that is
    /// stopped or wedged tells nobody.
    void check_servers();

    /// Makes the kernel's state equal to the database's for every network; failures become warnings.
    void apply_all();

    /// The host goes down: takes all networks out of the kernel, and nothing brings them up again but the
    /// next daemon. Failures are logged.
    void take_down();

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

    /// The NIC's addresses for life: those it holds, or newly chosen ones (ipv4 and ipv6 of `wanted` are
    /// static addresses set by the user, or empty). Tells dnsmasq. Errors: `not_found` for the network;
    /// `conflict` for a taken address.
    Result<database::AddressRecord> claim(database::AddressRecord wanted);
    Result<> release(const std::string& network, const std::string& instance, const std::string& device);
    /// All claims of an instance, at its deletion.
    Result<> release_all(const std::string& instance);
    /// Tells dnsmasq that the claims, which the database holds under the new name already, have another host
    /// name.
    Result<> announce_rename(const std::string& instance, const std::string& new_name);

    /// ACLs and forwards.
    [[nodiscard]] NetworkRules& rules() const { return *rules_; }
    /// Changes what the rules of these networks are made of: `write` in the database, then the kernel; when
    /// that fails, `undo` takes it back. One change at a time.
    Result<> change_rules(const std::vector<std::string>& networks, const std::function<Result<>()>& write,
                          const std::function<Result<>()>& undo);

private:
    Result<database::AddressRecord> claim_locked(database::AddressRecord wanted);
    Result<std::shared_ptr<network::Bridge>> bridge(const std::string& name) const;
    /// Directories of networks that are none any more: a crash kept them from being removed with their rows.
    void remove_strays() const;
    Result<> check_parent_is_free(const database::NetworkRecord& record) const;
    Result<database::NetworkPtr> create_on_parent(const database::NetworkRecord& record);
    Result<database::NetworkPtr> update_on_parent(const database::NetworkRecord& before,
                                                  const database::NetworkRecord& record);
    Result<> apply(const database::NetworkRecord& record);
    /// With the outcome as a warning or as the end of one.
    bool apply_noted(const database::NetworkRecord& record);
    void follow_server(const std::string& name, const network::Bridge& live);
    /// Looks in the background whether the server of a network answers.
    void check_server(const std::string& name);
    bool may_restart(const std::string& name);
    std::vector<network::AddressClaim> claims(const std::string& network) const;

    database::Database& database_;
    std::unique_ptr<NetworkRules> rules_;
    std::string state_dir_;
    mutable std::mutex mutex_;           ///< of bridges_
    std::mutex change_;                  ///< one change of networks or claims at a time
    std::atomic<bool> is_down_ = false;  ///< by take_down(); written under change_
    std::map<std::string, std::shared_ptr<network::Bridge>> bridges_;

    /// How often a server has ended by itself of late.
    struct Ends {
        std::chrono::steady_clock::time_point last{};
        int count = 0;
    };
    network::Watch* watch_ = nullptr;
    std::function<void(std::function<void()>)> background_;
    std::map<std::string, pid_t> followed_;  ///< as the rest: of change_
    std::map<std::string, Ends> ends_;
    std::set<std::string> being_checked_;  ///< of mutex_
};

}  // namespace lxmgr::instances
