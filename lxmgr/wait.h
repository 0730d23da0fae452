#pragma once
#include <string>

#include "lxmgr/command.h"
#include "lxmgr/object.h"

/// Waiting for an instance: the daemon answers when it is so (GET .../lxmgr_wait).
namespace lxmgr::cli {

/// What the words --wait and --timeout ask for.
struct Wait {
    std::string what;         ///< "ready" or "ip"; empty: nothing
    int timeout_seconds = 0;  ///< -1: as long as it takes
};
/// Errors: `bad_request`, a mistake on the command line.
Result<Wait> wait_of(const Args& args, std::string what);
/// The first address for "ip". Errors: `internal` when the time was over first.
Result<std::string> wait_for(Client& client, const Object& object, const Wait& wait);

inline constexpr Option kWaitOption = {
    "--wait", "WHAT", "wait until it is ready (its system has booted), or has an ip", false, "ready|ip"};
inline constexpr Option kWaitTimeout = {"--timeout", "SECONDS", "how long to wait; -1: as long as it takes",
                                        false,       "",        "300"};

}  // namespace lxmgr::cli
