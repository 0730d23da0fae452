#pragma once
#include <functional>
#include <string>
#include <utility>

#include "lxmgr/client.h"
#include "lxmgr/command.h"

/// What two servers need to know of each other, for what goes from one to the other.
namespace lxmgr::cli {

/// How something goes from one server to another.
struct Ways {
    using Step = std::function<Result<>(const std::string& url, const std::string& certificate)>;
    Step pull;                        ///< the target fetches it from there
    Step push;                        ///< the source brings it there
    std::function<Result<>()> relay;  ///< through us
};
/// Takes the way of that name; with none, the first by which the one server reaches the other, relay at last.
Result<> transfer(Client& source, Client& target, const std::string& mode, const Ways& ways);
/// Of an operation of a server that waits for the other one. It may have ended.
void cancel(Client& client, const std::string& operation);
/// An operation's URL, which another server takes without the project.
std::string plain_url(const std::string& operation);
/// That its requests are for, as it is called.
std::string project_name(const Client& client);
/// The server of an operand "REMOTE:REST", and REST. Errors: `not_found`.
Result<std::pair<Client, std::string>> place_there(const Args& args, const char* operand);

}  // namespace lxmgr::cli
