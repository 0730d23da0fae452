#pragma once
#include <string>
#include <string_view>

/// `lxc.log` of an instance, which `lxc info --show-log` shows: why it did not start, or ended by itself.
namespace lxmgr::instances {

inline constexpr std::string_view kFailureLog = "lxc.log";

struct Context;

/// Adds a line with the time, as well as can be. The oldest lines go when there are more than 64 KiB.
void log_failure(const Context& context, const std::string& name, std::string_view text);

}  // namespace lxmgr::instances
