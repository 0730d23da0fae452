#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "network/ip.h"

/// What an instance may send through a NIC: rules at the host's end of its pair, where the frames come out
/// (the ingress hook of nft's family netdev), before a bridge or a router sees them.
namespace lxmgr::network {

struct NicRules {
    std::string host_name;
    std::string hwaddr;                              ///< the only sender; empty: any
    std::optional<std::vector<std::uint32_t>> ipv4;  ///< the only senders; none: any
    std::optional<std::vector<Ipv6>> ipv6;
    std::vector<Ipv4Net> ipv4_nets;  ///< senders too, where there is such a list: what is routed to the NIC
    std::vector<Ipv6Net> ipv6_nets;
    std::uint64_t bits_per_second = 0;      ///< more is dropped; 0: no limit
    std::optional<std::uint32_t> priority;  ///< skb->priority of what passes

    [[nodiscard]] bool empty() const {
        return hwaddr.empty() && !ipv4 && !ipv6 && bits_per_second == 0 && !priority;
    }
};

/// Puts these in force instead of what is, at once; empty ones as remove_nic_rules().
Result<> apply_nic_rules(const NicRules& rules);
/// What is not there is success.
Result<> remove_nic_rules(const std::string& host_name);
/// After a restart of the daemon: this interface is to have none, whatever a crash left.
void expect_no_nic_rules(const std::string& host_name);
/// When all NICs of running instances were applied again: takes away what was expected to have none, and what
/// is of interfaces that are gone. Others stay as they are: better too strict than open.
Result<> sweep_nic_rules();

/// Whether another program has taken away rules that are to be in force.
bool nic_rules_lost();

}  // namespace lxmgr::network
