#pragma once
#include "lxmgr/client.h"
#include "lxmgr/command.h"
#include "lxmgr/preseed.h"

/// `lxmgr init` without an image: pool, bridge and default profile of the server.
namespace lxmgr::cli {

inline constexpr Option kSetupAuto = {"--auto", "", "set up the server with defaults"};
inline constexpr Option kSetupPreseed = {"--preseed", "", "set up the server as YAML on stdin says"};
inline constexpr Option kSetupDump = {"--dump", "", "print how the server is set up, as YAML for --preseed"};
inline constexpr Option kSetupBackend = {"--storage-backend", "DRIVER",
                                         "driver of the pool that --auto makes; else overlay"};

Result<int> run_setup(Client& client, const Args& args);

/// Makes the server as described: what is missing is created, what differs is changed, the rest is left
/// alone. Stops at the first error; running it again goes on from there.
Result<> apply_preseed(Client& client, const Preseed& preseed);

}  // namespace lxmgr::cli
