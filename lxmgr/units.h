#pragma once
#include <cstdint>
#include <string>
#include <string_view>

/// Numbers and times as people read them.
namespace lxmgr::cli {

/// "0B", "512B", "1.50MiB".
std::string human_bytes(std::uint64_t bytes);
/// RFC 3339 -> "2026/11/21 05:53 UTC"; empty for LXD's zero time ("never") and for what is no time.
std::string human_time(std::string_view rfc3339);
/// Nanoseconds of CPU -> "3s", "2m 5s", "1h 2m 5s".
std::string human_seconds(std::uint64_t nanoseconds);

}  // namespace lxmgr::cli
