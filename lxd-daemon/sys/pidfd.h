#pragma once
#include <sys/types.h>

#include <chrono>
#include <optional>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// Processes by descriptor, never by a number that may have been reused. Linux 5.4.
namespace lxmgr::sys {

/// Errors: `not_found` when there is no such process (ESRCH).
Result<UniqueFd> open_pidfd(pid_t pid);
/// Errors: `not_found` when it has ended.
Result<> send_signal(int pidfd, int signal_number);
/// True when the process has ended (it may still be a zombie).
bool has_ended(int pidfd);
/// Waits for the end of any process, child or not. False: the time was up first. No timeout: for ever.
bool wait_ended(int pidfd, std::optional<std::chrono::milliseconds> timeout);

}  // namespace lxmgr::sys
