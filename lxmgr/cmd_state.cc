// start_instances, stop, restart, freeze, unfreeze: one PUT of the wanted state each. Several instances
// change state side by side: all requests go out before the first is waited for.
#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/terminal.h"
#include "lxmgr/wait.h"

namespace lxmgr::cli {
namespace {

struct Change {
    const char* action;  ///< as the API names it
    const char* doing;   ///< "Starting"
    bool force = false;
    int timeout_seconds = -1;  ///< -1: as long as it takes
    Wait wait{};               ///< after it was started
};

struct Pending {
    Object object;
    Answer answer;
};

/// Whether the change has something to do for an instance with this status.
bool concerns(std::string_view action, const std::string& status) {
    if (action == "start") return status == "Stopped" || status == "Frozen";
    if (action == "freeze") return status != "Stopped" && status != "Frozen";
    if (action == "unfreeze") return status == "Frozen";
    return status != "Stopped";
}

/// Names on the command line, or with --all every instance that is not there yet.
Result<std::vector<std::string>> chosen(Client& client, const Args& args, const Change& change) {
    if (!args.flag("all")) return args.list("INSTANCE");
    std::vector<std::string> names;
    LX_TRY_AS(const Json instances, client.get("/1.0/instances?recursion=1"));
    for (const auto& instance : instances) {
        if (concerns(change.action, text_member(instance, "status")))
            names.push_back(text_member(instance, "name"));
    }
    return names;
}

/// `start_instances` of a frozen instance means to go on with it.
Result<const char*> real_action(Client& client, const Object& object, const Change& change) {
    if (std::string_view(change.action) != "start") return change.action;
    LX_TRY_AS(const Json instance, read_object(client, object));
    return text_member(instance, "status") == "Frozen" ? "unfreeze" : change.action;
}

Result<Pending> begin(Client& client, const std::string& name, const Change& change) {
    Object object = instance_object(name);
    LX_TRY_AS(const char* action, real_action(client, object, change));
    const Json body = {{"action", action},
                       {"force", change.force},
                       {"timeout", change.timeout_seconds},
                       {"stateful", false}};
    auto answer = client.send("PUT", object.path + "/state", body);
    if (!answer) return std::unexpected(explain(object, change.doing, std::move(answer).error()));
    return Pending{std::move(object), *std::move(answer)};
}

Result<int> run_change(Client& client, const Args& args, Change change) {
    if (args.flag("all") == args.given("INSTANCE"))
        return misuse(args, "Give the names of instances, or --all");
    LX_TRY_AS(const auto names, chosen(client, args, change));
    std::vector<Pending> pending;
    int status = 0;
    const auto report = [&status](const Error& error) {
        print_error(error.message);
        status = 1;
    };
    for (const auto& name : names) {
        auto begun = begin(client, name, change);
        if (!begun && begun.error().status == Status::unavailable)
            return std::unexpected(std::move(begun).error());
        if (begun) {
            pending.push_back(*std::move(begun));
        } else {
            report(begun.error());
        }
    }
    for (const auto& [object, answer] : pending) {
        auto done = client.finish(answer, {fmt::format("{} {}", change.doing, object.name)});
        if (!done) {
            report(explain(object, change.doing, std::move(done).error()));
            continue;
        }
        const auto waited = wait_for(client, object, change.wait);
        if (!waited) report(waited.error());
        if (waited && !waited->empty()) tell(*waited);
    }
    return status;
}

Result<int> run_stopping(Client& client, const Args& args, Change change) {
    change.force = args.flag("force");
    if (args.given("timeout")) {
        const auto seconds = parse_number(args.text("timeout"), "Timeout");
        if (!seconds) return misuse(args, seconds.error().message);
        change.timeout_seconds = static_cast<int>(*seconds);
    }
    return run_change(client, args, change);
}

Result<int> start_instances(Client& client, const Args& args) {
    auto wait = wait_of(args, args.text("wait"));
    if (!wait) return misuse(args, wait.error().message);
    return run_change(client, args, {.action = "start", .doing = "Starting", .wait = *std::move(wait)});
}
Result<int> stop(Client& client, const Args& args) {
    return run_stopping(client, args, {"stop", "Stopping"});
}
Result<int> restart(Client& client, const Args& args) {
    return run_stopping(client, args, {"restart", "Restarting"});
}
Result<int> freeze(Client& client, const Args& args) {
    return run_change(client, args, {"freeze", "Freezing"});
}
Result<int> unfreeze(Client& client, const Args& args) {
    return run_change(client, args, {"unfreeze", "Unfreezing"});
}

constexpr Operand kStateOperands[] = {{"INSTANCE", Count::any, Kind::instance}};
constexpr Option kAll = {"--all", "", "every instance that this can be done to"};
constexpr Option kPlainOptions[] = {kAll};
constexpr Option kStartOptions[] = {kAll, kWaitOption, kWaitTimeout};
constexpr Option kStopOptions[] = {
    kAll,
    {"-f,--force", "", "do not ask the instance: kill it"},
    {"--timeout", "SECONDS", "give up when it has not shut down by then"},
};

const Command kStateCommands[] = {
    {"start", "Start instances", kStateOperands, kStartOptions, "A frozen instance is unfrozen.",
     "start dev\nstart web db cache\nstart dev --wait ready", start_instances},
    {"stop", "Stop instances", kStateOperands, kStopOptions,
     "Asks the system inside to shut down and waits for it.",
     "stop dev\nstop dev --force\nstop --all --timeout 30", stop},
    {"restart", "Restart instances", kStateOperands, kStopOptions, "", "restart dev\nrestart dev --force",
     restart},
    {"freeze", "Freeze the processes of instances", kStateOperands, kPlainOptions,
     "They stay in memory and get no CPU.", "freeze dev", freeze, false, "pause"},
    {"unfreeze", "Let frozen instances go on", kStateOperands, kPlainOptions, "", "unfreeze dev", unfreeze},
};

}  // namespace

std::span<const Command> state_commands() { return kStateCommands; }

}  // namespace lxmgr::cli
