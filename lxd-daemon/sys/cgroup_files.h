#pragma once
#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// The files and directories that a cgroup is made of, relative to a directory descriptor: what cgroup.h
/// stands on.
namespace lxmgr::sys {

/// Where helpers of ours live, and the groups of Cgroups::make_spare(). No container can have these names,
/// since they are no DNS labels.
inline constexpr const char* kKeepers = ".monitors";
inline constexpr const char* kSpare = ".spare";

/// std::ranges::contains, which GCC 12 lacks.
template <typename List, typename Value>
bool holds(const List& list, const Value& value) {
    return std::ranges::find(list, value) != std::ranges::end(list);
}

/// Errors: `not_found` when absent; `internal` with errno.
Result<std::string> read_at(int dir, const std::string& path);
Result<> write_at(int dir, const std::string& path, std::string_view text);
bool has_entry(int dir, const std::string& name);

/// mkdir and open; an existing one is taken.
Result<UniqueFd> make_group(int parent, const std::string& name);
/// rmdir of a group and all below it, deepest first; absent is success.
Result<> remove_group(int parent, const std::string& name);
std::vector<std::string> groups_in(int parent, const std::string& name);
/// Processes of a cgroup2 group and all below it.
Result<std::vector<pid_t>> processes_below(int parent, const std::string& name);

/// Waits until cgroup.events of the group holds this line, which the kernel announces by POLLPRI. An absent
/// group counts as holding it. False: the time was up first.
bool wait_event(int parent, const std::string& name, std::string_view line,
                std::chrono::milliseconds timeout);

/// A new v1 cpuset takes no process before it has CPUs and memory nodes: copies its parent's where it has
/// none.
Result<> inherit_cpuset(int parent, int group);

}  // namespace lxmgr::sys
