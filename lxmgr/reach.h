#pragma once
#include <string>
#include <utility>
#include <vector>

#include "lxmgr/client.h"
#include "lxmgr/command.h"

/// What two servers need to know of each other, for what goes from one to the other.
namespace lxmgr::cli {

/// How a server is reached by others.
struct Reachable {
    std::vector<std::string> urls;  ///< "https://HOST:PORT"
    std::string certificate;
};
Result<Reachable> reachable(Client& client);
/// Whether one server did not come through to the other one, so that another way may be tried.
bool is_out_of_reach(const Error& error);
/// An operation's URL, which another server takes without the project.
std::string plain_url(const std::string& operation);
/// That its requests are for, as it is called.
std::string project_name(const Client& client);
/// The server of an operand "REMOTE:REST", and REST. Errors: `not_found`.
Result<std::pair<Client, std::string>> place_there(const Args& args, const char* operand);

}  // namespace lxmgr::cli
