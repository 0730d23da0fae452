#pragma once
#include <cstdint>
#include <string>

#include "lxd-daemon/base/result.h"
#include "network/lease_file.h"

namespace lxmgr::network {

/// The DHCPRELEASE that the holder of an IPv4 lease would send (RFC 2131, 4.4.6). Pure function.
std::string release_packet(const FileLease& lease, std::uint32_t server, std::uint32_t transaction);

/// Sends it to our own dnsmasq on the bridge, which has no other way to forget a lease while it runs. Does
/// not wait.
Result<> release_lease(const std::string& bridge, const FileLease& lease, std::uint32_t server);

}  // namespace lxmgr::network
