#pragma once
#include "lxmgr/client.h"
#include "lxmgr/command.h"

/// copy and move from one server to another. Their word NEW-NAME is "REMOTE:NAME" then (choose_server.cc).
namespace lxmgr::cli {

/// Whether NEW-NAME is at another server than INSTANCE.
bool is_between_servers(const Args& args);

/// The new instance's keys, as far as the command's options decide them.
struct BetweenServers {
    Json config = Json::object();  ///< wins over the source's
    bool move = false;
};
Result<int> copy_between_servers(Client& source, const Args& args, const BetweenServers& wanted);

}  // namespace lxmgr::cli
