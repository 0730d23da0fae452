#pragma once
#include <chrono>

#include "lxd-daemon/base/result.h"
#include "network/tunnels.h"

namespace lxmgr::network {

/// Whether a DNS server at this address of the host answers anything in time. Blocking. What is asked for, a
/// name without a dot, our dnsmasq answers by itself (--domain-needed).
bool dns_answers(const AnyAddress& server, std::chrono::milliseconds timeout);

}  // namespace lxmgr::network
