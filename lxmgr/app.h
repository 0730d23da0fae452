#pragma once
#include <string>
#include <vector>

namespace lxmgr::cli {

/// The program: finds the command, runs it, prints its error.
/// @return 0 success, 1 failure, 2 wrong usage; exec and shell return the exit status of their command
int run_program(const std::vector<std::string>& arguments);

}  // namespace lxmgr::cli
