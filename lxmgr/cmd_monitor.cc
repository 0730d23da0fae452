#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/commands.h"
#include "lxmgr/loop.h"
#include "lxmgr/object.h"
#include "lxmgr/terminal.h"
#include "lxmgr/yaml.h"

namespace lxmgr::cli {
namespace {

std::string pretty(const Json& event) {
    const Json& metadata = member(event, "metadata");
    const std::string type = text_member(event, "type");
    std::string what;
    if (type == "lifecycle") {
        what = fmt::format("{} {}", text_member(metadata, "action"), text_member(metadata, "source"));
    } else if (type == "operation") {
        what = fmt::format("{} {} {}", text_member(metadata, "id"), text_member(metadata, "description"),
                           text_member(metadata, "status"));
    } else {
        what = fmt::format("{}: {}", text_member(metadata, "level"), text_member(metadata, "message"));
        for (const auto& [key, value] : member(metadata, "context").items())
            what += fmt::format(" {}={}", key, value.dump());
    }
    return fmt::format("{} {:<9} {}\n", text_member(event, "timestamp"), type, printable(what));
}

/// Log lines below the level that was asked for are left out.
bool is_wanted(const Json& event, const std::string& level) {
    constexpr std::array<std::string_view, 4> kLevels{"debug", "info", "warning", "error"};
    if (text_member(event, "type") != "logging") return true;
    const std::string its_level = text_member(member(event, "metadata"), "level");
    return std::ranges::find(kLevels, its_level) >= std::ranges::find(kLevels, level);
}

std::string rendered(const std::string& format, const std::string& level, std::string_view text) {
    const Json event = Json::parse(text, nullptr, false);
    if (event.is_discarded() || !is_wanted(event, level)) return {};
    if (format == "json") return std::string(trim(text)) + "\n";
    return format == "yaml" ? "---\n" + to_yaml(event) : pretty(event);
}

Result<int> run_monitor(Client& client, const Args& args) {
    std::string types;
    for (const auto& type : args.list("type")) types += (types.empty() ? "?type=" : ",") + encode(type);
    const std::string format = args.text("format");
    Loop loop(client.server());
    bool lost = true;
    const auto show = [&format, level = args.text("loglevel")](std::string_view text) {
        std::fputs(rendered(format, level, text).c_str(), stdout);
        std::fflush(stdout);
    };
    const auto leave = [&](int) {
        lost = false;
        loop.stop();
    };
    SocketEvents events{.binary = {}, .text = show, .closed = [&loop] { loop.stop(); }};
    LX_TRY(loop.connect(for_project("/1.0/events" + types, client.server().project), std::move(events)));
    loop.on_signal(SIGINT, leave);
    loop.on_signal(SIGTERM, leave);
    loop.run();
    if (lost) return fail(Status::unavailable, "The lxmgr daemon closed the connection");
    return 0;
}

constexpr Option kMonitorOptions[] = {
    {"-t,--type", "TYPE", "only these: operation, lifecycle, logging (may be repeated)", true,
     "operation|lifecycle|logging"},
    {"-f,--format", "FORMAT", "how to print: pretty, json (one event a line) or yaml", false,
     "pretty|json|yaml", "pretty"},
    {"--loglevel", "LEVEL", "of log lines, those of this level and above: debug, info, warning or error",
     false, "debug|info|warning|error", "debug"},
};
const Command kMonitorCommands[] = {
    {"monitor",
     "Print what happens on the server until Ctrl-C",
     {},
     kMonitorOptions,
     "",
     "monitor\nmonitor --type lifecycle -f json",
     run_monitor},
};

}  // namespace

std::span<const Command> monitor_commands() { return kMonitorCommands; }

}  // namespace lxmgr::cli
