#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "network/ip.h"

namespace lxmgr::network {

struct Wanted {
    std::vector<std::uint32_t> ipv4;
    std::vector<Ipv6> ipv6;
};
/// Asks on an interface's link (by ARP, by NDP) who has these addresses, and waits a moment for an answer,
/// for all of them together. Errors: `conflict` that names one that somebody has.
Result<> probe_neighbours(const std::string& interface, const Wanted& wanted);

}  // namespace lxmgr::network
