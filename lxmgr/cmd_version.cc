#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"

namespace lxmgr::cli {
namespace {

Result<int> run_version(Client& client, const Args&) {
    fmt::print("Client version: {}\n", LXMGR_VERSION);
    auto server = client.get("/1.0");
    if (!server) {
        fmt::print("Server version: unreachable ({})\n", server.error().message);
        return 0;
    }
    const Json& environment = member(*server, "environment");
    fmt::print("Server version: {} ({})\n", text_member(environment, "server_version"),
               text_member(environment, "server"));
    return 0;
}

const Command kVersionCommands[] = {
    {"version", "Print the versions of client and server", {}, {}, "", "version", run_version},
};

}  // namespace

std::span<const Command> version_commands() { return kVersionCommands; }

}  // namespace lxmgr::cli
