#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/base/result.h"

/// Address translation for a proxy device: rules in place of a process.
namespace lxmgr::network {

struct ProxyNat {
    /// One address family.
    struct Side {
        bool ipv6 = false;
        std::string listen;   ///< as format_ipv4() writes it; empty: every address of the host, 127.0.0.1 too
        std::string connect;  ///< the instance's
        std::string bridge;   ///< that it is on
        std::string subnet;   ///< of the bridge, without its length
        int prefix = 0;
    };
    std::string owner;     ///< "INSTANCE/DEVICE": its chains are found by it
    std::string protocol;  ///< "tcp" or "udp"
    std::vector<Side> sides;
    std::vector<std::pair<int, int>> ports;  ///< listen, connect
};

/// Packets to the listening address, from outside, from instances and from the host itself, go to the
/// instance. They keep their sender's address, but for those of the bridge's own instances and of the host's
/// loopback, which come as from the host. In one transaction. Idempotent. Errors: `conflict` when another
/// owner has a port already, or a program of the host listens at it, on that address.
Result<> apply_proxy_nat(const ProxyNat& nat);
/// Absent rules are success.
Result<> remove_proxy_nat(const std::string& owner);
/// Whether another program has taken away rules that are to be in force.
bool proxy_nat_lost();

}  // namespace lxmgr::network
