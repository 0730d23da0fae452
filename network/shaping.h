#pragma once
#include <cstdint>
#include <string>

#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// Limits what leaves through an interface (from the host's end of a pair: what enters the instance), by a
/// hierarchical token bucket (tc-htb(8)) with one class that everything is in. It goes with the interface.
/// @param bits_per_second  0: no limit. Repeating it, and taking away what is not there, is success.
Result<> limit_rate(const std::string& interface, std::uint64_t bits_per_second);

/// Whether a port of a bridge is kept from reaching other isolated ports (bridge(8), Linux 4.18).
Result<> isolate_port(const std::string& interface, bool isolated);

}  // namespace lxmgr::network
