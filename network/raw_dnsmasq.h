#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// raw.dnsmasq as arguments of dnsmasq: one option on a line, as in its configuration files; empty lines and
/// comments (#) are left out. Whoever may set the key administers networks, which is less than the host: only
/// options that say what DHCP and DNS answer are taken. Refused is all that runs programs (dhcp-script),
/// reads or writes files (conf-file, addn-hosts, log-facility, tftp-root), listens elsewhere (interface,
/// listen-address), changes the user, or the host's firewall (ipset, nftset). Errors: `bad_request` that
/// names the line.
Result<std::vector<std::string>> parse_raw_dnsmasq(std::string_view text);

}  // namespace lxmgr::network
