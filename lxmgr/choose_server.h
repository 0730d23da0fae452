#pragma once
#include "lxmgr/parse.h"
#include "lxmgr/server.h"

namespace lxmgr::cli {

/// Of a command whose second place is at another server: the word by which Args has the project chosen there,
/// as Server::project.
inline constexpr const char* kProjectThere = "project there";

/// Where a command works: at the remote that its words name ("lab:", "lab:dev"), else at the default one. The
/// names lose their "lab:". The project: --project, $LXMGR_PROJECT, or what `project switch` chose.
/// Errors: `bad_request` when it would have to work at two servers.
Result<Server> choose_server(Invocation& invocation);

}  // namespace lxmgr::cli
