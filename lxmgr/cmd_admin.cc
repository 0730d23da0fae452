#include <fmt/format.h>

#include <optional>

#include "lxmgr/commands.h"
#include "lxmgr/loop.h"
#include "lxmgr/object.h"
#include "lxmgr/options.h"
#include "lxmgr/setup.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

/// The events socket ends when the daemon does: that is what is waited for.
Result<int> run_shutdown(Client& client, const Args& args) {
    std::optional<unsigned> timeout_seconds;
    if (args.given("timeout")) {
        const auto seconds = parse_number(args.text("timeout"), "Timeout");
        if (!seconds) return misuse(args, seconds.error().message);
        timeout_seconds = *seconds;
    }
    Loop loop(client.server());
    Progress progress("Shutting down instances and the daemon");
    bool gone = false;
    SocketEvents events{.binary = {}, .text = {}, .closed = [&] {
                            gone = true;
                            loop.stop();
                        }};
    LX_TRY(loop.connect("/1.0/events?type=lifecycle", std::move(events)));
    Result<> refused;
    const auto answered = [&](Result<std::string> body) {
        if (!body) return;  // the daemon was faster with its end than with its answer
        auto answer = open_envelope(200, *body);
        if (answer) return;
        refused = std::unexpected(in("Shutting down", std::move(answer).error()));
        loop.stop();
    };
    LX_TRY(loop.request("PUT", "/internal/shutdown", answered));
    if (timeout_seconds) loop.after(std::chrono::seconds(*timeout_seconds), [&loop] { loop.stop(); });
    loop.run();
    LX_TRY(refused);
    if (!gone)
        return fail(Status::unavailable,
                    fmt::format("The daemon is still there after {} seconds", *timeout_seconds));
    return 0;
}

constexpr Option kAdminInitOptions[] = {kSetupAuto, kSetupPreseed, kSetupDump, kSetupBackend};
constexpr Option kShutdownOptions[] = {{"--timeout", "SECONDS", "stop waiting after this time"}};
const Command kAdminCommands[] = {
    {"admin init",
     "Set up the server",
     {},
     kAdminInitOptions,
     "The same as 'lxmgr init' without an image.",
     "admin init --auto\nadmin init --dump > preseed.yaml",
     run_setup},
    {"admin shutdown",
     "Stop all instances and the daemon",
     {},
     kShutdownOptions,
     "Instances shut down in an orderly way, and start again with the daemon if they are set to.",
     "admin shutdown --timeout 120",
     run_shutdown},
};

}  // namespace

std::span<const Command> admin_commands() { return kAdminCommands; }

}  // namespace lxmgr::cli
