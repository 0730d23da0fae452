#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/base/result.h"

/// Address translation for a proxy device: rules in place of a process.
namespace lxmgr::network {

struct ProxyNat {
    std::string owner;     ///< "INSTANCE/DEVICE": its chains are found by it
    std::string protocol;  ///< "tcp" or "udp"
    bool ipv6 = false;
    std::string listen, connect;             ///< addresses, of one family
    std::vector<std::pair<int, int>> ports;  ///< listen, connect
};

/// Packets to the listening address, from outside and from the host itself, go to the instance; those that
/// the instance sends to itself that way come back as from the host. In one transaction. Idempotent.
Result<> apply_proxy_nat(const ProxyNat& nat);
/// Absent rules are success.
Result<> remove_proxy_nat(const std::string& owner);

}  // namespace lxmgr::network
