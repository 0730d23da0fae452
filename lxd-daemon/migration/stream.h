#pragma once
#include <functional>
#include <string_view>

#include "lxd-daemon/migration/link.h"
#include "lxd-daemon/migration/rsync.h"

/// Volumes that go by in the form of a storage driver.
namespace lxmgr::migration {

/// Both run what they are given on a thread of its own, and are blocking until both sides have ended. Errors:
/// its own, what the link says.
/// @param write  writes to a pipe until all is said, or with EPIPE in sys_errno until nobody reads it
Result<> send_stream(Link& link, const std::function<Result<>(UniqueFd pipe)>& write,
                     const Progress& progress);
/// @param take  gets the pieces
Result<> receive_stream(Link& link, const std::function<Result<>(std::string_view piece)>& take,
                        const Progress& progress);

}  // namespace lxmgr::migration
