#pragma once
#include <string>

#include "lxd-daemon/base/result.h"

/// libnftables(3) in this process, JSON in and out (libnftables-json(5)).
namespace lxmgr::network {

/// Runs the commands of one JSON document {"nftables":[...]} as one transaction in the network namespace of
/// the calling thread, and returns its output. The library is loaded for the call alone; calls take turns,
/// because libnftables is not thread-safe. Errors: `unavailable` when the library is not installed;
/// `internal` with what nftables said.
Result<std::string> run_nftables(const std::string& json);

}  // namespace lxmgr::network
