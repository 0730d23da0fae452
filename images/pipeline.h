#pragma once
#include <functional>
#include <stop_token>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/spawn.h"

namespace lxmgr::images {

/// Runs programs side by side, the output of each being the input of the next, to the end of all. What they
/// write to stderr, and the last one to stdout, is given to `line` line by line. The first reads /dev/null.
/// A stop request sends SIGTERM to all (and their process groups), and SIGKILL to what is left after ten
/// seconds. `timeout` and `input` of the commands are not used. Errors: `internal` when one exits with
/// another code than 0 (names it and the last line seen), `unavailable` when stopped.
Result<> run_pipeline(const std::vector<Command>& commands, const std::stop_token& stop,
                      const std::function<void(std::string_view)>& line);

}  // namespace lxmgr::images
