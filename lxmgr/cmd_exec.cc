#include <fmt/format.h>

#include <cstdlib>

#include "lxmgr/commands.h"
#include "lxmgr/exec_session.h"
#include "lxmgr/options.h"

namespace lxmgr::cli {
namespace {

void add_terminal_type(ExecRequest& request) {
    const char* term = std::getenv("TERM");
    if (request.interactive && term != nullptr) request.environment.try_emplace("TERM", term);
}

/// The options that exec and shell share.
Result<ExecRequest> request_of(const Args& args) {
    ExecRequest request;
    request.instance = args.text("INSTANCE");
    LX_TRY_AS(const Pairs pairs, parse_pairs(args.list("env")));
    for (const auto& [key, value] : pairs) request.environment[key] = value;
    request.cwd = args.text("cwd");
    if (args.given("user")) {
        LX_TRY_AS(request.user, parse_number(args.text("user"), "User id"));
    }
    if (args.given("group")) {
        LX_TRY_AS(request.group, parse_number(args.text("group"), "Group id"));
    }
    return request;
}

Result<int> run_exec_command(Client& client, const Args& args) {
    auto request = request_of(args);
    if (!request) return misuse(args, request.error().message);
    request->command = args.list("COMMAND");
    if (request->command.empty())
        return misuse(args, "Say which command to run: lxmgr exec INSTANCE -- COMMAND");
    if (args.flag("force-interactive") && args.flag("force-noninteractive"))
        return misuse(args, "-t and -T exclude each other");
    request->interactive =
        !args.flag("force-noninteractive") && (args.flag("force-interactive") || on_terminal());
    add_terminal_type(*request);
    return run_exec(client, *request);
}

/// Ends in the best shell there is: a login shell of the user by su, else bash, else sh. Runs inside the
/// instance.
constexpr const char* kLoginShell =
    "if command -v su >/dev/null 2>&1; then exec su -l \"$1\"; fi\n"
    "cd ~ 2>/dev/null || cd /\n"
    "if command -v bash >/dev/null 2>&1; then exec bash -l; fi\n"
    "exec sh -l";

Result<int> run_shell(Client& client, const Args& args) {
    ExecRequest request;
    request.instance = args.text("INSTANCE");
    request.interactive = on_terminal();
    request.command = {"/bin/sh", "-c", kLoginShell, "sh", args.text("login")};
    add_terminal_type(request);
    return run_exec(client, request);
}

constexpr Operand kExecOperands[] = {{"INSTANCE", Count::one, Kind::instance}, {"COMMAND", Count::rest}};
constexpr Option kExecOptions[] = {
    {"-e,--env", "KEY=VALUE", "set an environment variable (may be repeated)", true},
    {"--cwd", "DIR", "working directory; else the user's home"},
    {"--user", "UID", "run as this user id", false, "", "0"},
    {"--group", "GID", "run as this group id", false, "", "0"},
    {"-t,--force-interactive", "", "give the command a terminal"},
    {"-T,--force-noninteractive", "", "give the command pipes"},
};
constexpr Operand kShellOperands[] = {{"INSTANCE", Count::one, Kind::instance}};
constexpr Option kShellOptions[] = {{"-l,--login", "USER", "log in as this user", false, "", "root"}};
const Command kExecCommands[] = {
    {"exec", "Run a command in an instance", kExecOperands, kExecOptions,
     "Ends with the exit status of the command. The command gets a terminal when stdin and stdout are "
     "terminals.",
     "exec dev -- apt update\nexec dev --env LANG=C --cwd /tmp -- ls -l\nexec dev -- tar x -C /srv < "
     "files.tar",
     run_exec_command},
    {"shell", "Open a login shell in an instance", kShellOperands, kShellOptions, "",
     "shell dev\nshell dev --login admin", run_shell},
};

}  // namespace

std::span<const Command> exec_commands() { return kExecCommands; }

}  // namespace lxmgr::cli
