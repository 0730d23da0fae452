#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "lxd-daemon/base/result.h"

namespace lxmgr {

/// Wall-clock time with nanoseconds. The epoch value 0 stands for "never" and is shown as Go's zero time.
using Time = std::chrono::sys_time<std::chrono::nanoseconds>;

Time now();
/// RFC 3339 with nanoseconds in UTC, "2026-11-21T05:53:00.123456789Z"; the epoch is "0001-01-01T00:00:00Z".
std::string to_rfc3339(Time time);
/// Reads RFC 3339 (any offset). "0001-01-01T00:00:00Z" gives the epoch. Errors: `bad_request`.
Result<Time> parse_rfc3339(std::string_view text);

}  // namespace lxmgr
