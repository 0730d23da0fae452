#pragma once
#include "lxmgr/client.h"
#include "lxmgr/command.h"

/// copy and move from one server to another. Their second place begins with "REMOTE:" then
/// (choose_server.cc).
namespace lxmgr::cli {

/// Whether the second place is at another server than the first one.
bool is_between_servers(const Args& args);

/// The new instance's keys, as far as the command's options decide them.
struct BetweenServers {
    Json config = Json::object();  ///< wins over the source's
    bool move = false;
};
Result<int> copy_between_servers(Client& source, const Args& args, const BetweenServers& wanted);

/// Which of the two servers calls the other one.
inline constexpr Option kTransferMode = {
    "--mode", "MODE", "between servers: who reaches whom; without it, what works", false, "pull|push|relay"};

struct VolumePlace {
    std::string pool, name;
};
Result<int> copy_volume_between_servers(Client& source, const Args& args, const VolumePlace& from, bool move);

}  // namespace lxmgr::cli
