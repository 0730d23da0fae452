#pragma once
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"

/// Other programs are started here and nowhere else: by argv, never through a shell, with every descriptor
/// but those named closed, default signal mask and dispositions, and an environment that is given in full.
namespace lxmgr {

struct Command {
    std::vector<std::string> argv;  ///< argv[0] is looked up in a fixed PATH unless it holds a slash
    std::string program;  ///< the file to execute, where argv[0] only names it for people; empty: argv[0]
    std::vector<std::string> extra_env;                ///< "K=V", on top of PATH, LANG=C.UTF-8, HOME=/root
    std::string input;                                 ///< given on stdin, then EOF
    std::string cwd;                                   ///< empty: "/"
    std::optional<std::chrono::milliseconds> timeout;  ///< the program is killed after it; none = no limit
    std::size_t max_output_bytes = std::size_t{1}
                                   << 20;  ///< kept of stdout and stderr each; the rest is dropped
};

struct CommandResult {
    int exit_code = -1;  ///< -1 when a signal ended it
    int signal = 0;      ///< 0 when it exited by itself
    std::string out;
    std::string err;
};

/// Runs a program to its end. Errors: `not_found` when there is no such program, `internal` otherwise.
/// An exit code other than 0 is not an error here.
Result<CommandResult> run(const Command& command);

/// As run(), and an exit code other than 0 is an error whose message holds the last line of stderr.
Result<std::string> run_checked(const Command& command);

/// A child that runs on. The owner must wait for it (pidfd becomes readable) and reap it.
struct Child {
    pid_t pid = -1;
    UniqueFd pidfd;
};

/// Starts a program with the given descriptors: {ours, number in the child}. All others are closed on exec.
/// Needs Linux 5.4 for the pidfd. Uses posix_spawn(3): safe in a program with threads.
Result<Child> spawn(const Command& command, const std::vector<std::pair<int, int>>& fds);

}  // namespace lxmgr
