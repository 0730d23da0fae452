#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "profiles/listen_address.h"

namespace lxmgr::rest {

/// A listening, non-blocking TCP socket. "::" takes IPv4 too.
/// @param freebind  an address that no interface has yet will do
/// Errors: `bad_request` with sys_errno.
Result<UniqueFd> listen_tcp(const profiles::ListenAddress& address, bool freebind);

/// Where clients elsewhere may reach what listens there: the address itself, or those of all interfaces but
/// for loopback and link-local ones.
std::vector<std::string> reachable_addresses(const profiles::ListenAddress& address);

/// Whose connections count as one host's: of IPv6 the net of 64 bits, of which whoever has one address has
/// all; neighbours by their link-local addresses are told apart.
std::string counted_host(const std::string& host);

}  // namespace lxmgr::rest
