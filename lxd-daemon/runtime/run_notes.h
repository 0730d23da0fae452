#pragma once
#include <map>
#include <set>
#include <string>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/device_filter.h"

/// What a run directory remembers for the next daemon. It ends with the machine's power, as runs do, so
/// nothing is synced; each file is replaced as a whole.
namespace lxmgr::runtime {

/// Scores of limits.memory.oom_priority that processes of the container may have: two while a change is under
/// way. Empty: none was changed since the start.
Result<> note_oom_scores(int run_dir, const std::set<int>& scores);
std::set<int> noted_oom_scores(int run_dir);

/// What a privileged container was given, by the path inside. The guest may unmount a node, or put another in
/// its place: only this says what is to be taken back.
using GivenNodes = std::map<std::string, sys::DeviceNumber>;
Result<> note_nodes_given(int run_dir, const GivenNodes& nodes);
/// nullopt: nothing was noted, as by earlier versions.
std::optional<GivenNodes> noted_nodes(int run_dir);

void remove_run_notes(int run_dir);

}  // namespace lxmgr::runtime
