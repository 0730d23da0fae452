#pragma once
#include <map>
#include <string>
#include <vector>

#include "lxmgr/client.h"

/// A command inside an instance with our terminal or pipes: the websockets of exec.
namespace lxmgr::cli {

struct ExecRequest {
    std::string instance;
    std::vector<std::string> command;
    std::map<std::string, std::string> environment;
    std::string cwd;
    unsigned user = 0;
    unsigned group = 0;
    bool interactive = false;  ///< with a terminal inside; ours goes raw if stdin is one
};

/// Runs it to its end. Returns its exit status. Errors: the instance's (explained), and `unavailable` when
/// the daemon goes away in the middle.
Result<int> run_exec(Client& client, const ExecRequest& request);

/// stdin and stdout are both terminals.
bool on_terminal();

}  // namespace lxmgr::cli
