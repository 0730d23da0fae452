#pragma once
#include <functional>

#include "lxd-daemon/base/result.h"

namespace lxmgr::network {

/// Does it again while an address is in use (EADDRINUSE), for ten seconds. The kernel takes the network
/// namespace of an instance that has ended apart in the background (cleanup_net() of
/// net/core/net_namespace.c) and tells nobody when its interfaces have left their parent; the next run has
/// the same addresses.
Result<> when_free(const std::function<Result<>()>& work);

}  // namespace lxmgr::network
