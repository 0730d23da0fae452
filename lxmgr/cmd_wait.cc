// wait, boot-times, and the --wait of launch and start.
#include <fmt/format.h>

#include "lxd-daemon/base/clock.h"
#include "lxmgr/commands.h"
#include "lxmgr/terminal.h"
#include "lxmgr/wait.h"

namespace lxmgr::cli {
namespace {

Result<int> run_wait(Client& client, const Args& args) {
    const auto wait = wait_of(args, args.text("WHAT"));
    if (!wait) return misuse(args, wait.error().message);
    LX_TRY_AS(const std::string address, wait_for(client, instance_object(args.text("INSTANCE")), *wait));
    if (!address.empty()) tell(address);
    return 0;
}

/// "05:53:00.123", in UTC.
std::string clock_of(Time time) { return to_rfc3339(time).substr(11, 12); }

/// The epoch when the member is absent.
Time time_member(const Json& object, const char* key) {
    const std::string text = text_member(object, key);
    return text.empty() ? Time{} : parse_rfc3339(text).value_or(Time{});
}

double milliseconds_between(Time from, Time to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

Result<int> run_boot_times(Client& client, const Args& args) {
    const Object object = instance_object(args.text("INSTANCE"));
    auto state = client.get(object.path + "/state");
    if (!state) return std::unexpected(explain(object, "Reading the state of", std::move(state).error()));
    const Time started = time_member(*state, "started_at");
    if (started == Time{})
        return fail(Status::bad_request, fmt::format("Instance '{}' is not running", object.name));
    const Time ready = time_member(*state, "lxmgr_ready_at");
    const bool is_ready = ready != Time{};
    if (args.text("format") == "json") {
        Json out{
            {"started_at", text_member(*state, "started_at")}, {"ready_at", nullptr}, {"boot_ms", nullptr}};
        if (is_ready) {
            out["ready_at"] = text_member(*state, "lxmgr_ready_at");
            out["boot_ms"] = milliseconds_between(started, ready);
        }
        fmt::print("{}\n", out.dump());
        return 0;
    }
    fmt::print("Init started: {}\n", clock_of(started));
    if (is_ready) {
        fmt::print("Ready:        {}\n", clock_of(ready));
        fmt::print("Boot took:    {:.1f} ms\n", milliseconds_between(started, ready));
    } else {
        fmt::print("Ready:        not yet\n");
    }
    return 0;
}

constexpr Operand kWaitOperands[] = {{"INSTANCE", Count::one, Kind::instance}, {"WHAT", Count::one}};
constexpr Option kWaitOptions[] = {kWaitTimeout};
constexpr Operand kTimesOperands[] = {{"INSTANCE", Count::one, Kind::instance}};
constexpr Option kTimesOptions[] = {
    {"-f,--format", "FORMAT", "how to print: table (for people) or json", false, "table|json", "table"}};

const Command kWaitCommands[] = {
    {"wait", "Wait until an instance is ready, or has an address", kWaitOperands, kWaitOptions,
     "WHAT is ready (systemd in it has reported the end of its boot, or a program in it has said so through "
     "/dev/lxd)\nor ip (an interface of it has a global address; prints the first).",
     "wait dev ready\nwait dev ip --timeout 30", run_wait},
    {"boot-times", "Show when an instance's init was started and when it was ready", kTimesOperands,
     kTimesOptions, "Times are of the host's clock, in UTC.", "boot-times dev\nboot-times dev -f json",
     run_boot_times},
};

}  // namespace

Result<Wait> wait_of(const Args& args, std::string what) {
    if (!what.empty() && what != "ready" && what != "ip")
        return fail(Status::bad_request, fmt::format("Cannot wait for '{}': use ready or ip", what));
    Wait wait{std::move(what), -1};
    if (args.text("timeout") == "-1") return wait;
    LX_TRY_AS(const auto seconds, parse_number(args.text("timeout"), "Timeout"));
    wait.timeout_seconds = static_cast<int>(seconds);
    return wait;
}

Result<std::string> wait_for(Client& client, const Object& object, const Wait& wait) {
    if (wait.what.empty()) return "";
    const bool ip = wait.what == "ip";
    const Spinner spinner(
        fmt::format("Waiting for {} to {}", object.name, ip ? "have an address" : "be ready"));
    auto seen = client.get(
        fmt::format("{}/lxmgr_wait?for={}&timeout={}", object.path, wait.what, wait.timeout_seconds));
    if (!seen) return std::unexpected(explain(object, "Waiting for", std::move(seen).error()));
    if (!member(*seen, "met").is_boolean() || !member(*seen, "met").get<bool>()) {
        return fail(Status::internal,
                    fmt::format("Instance '{}' {} within {} s", object.name,
                                ip ? "has no address" : "is not ready", wait.timeout_seconds));
    }
    const Json& addresses = member(*seen, "addresses");
    if (!ip || !addresses.is_array() || addresses.empty() || !addresses[0].is_string()) return "";
    return addresses[0].get<std::string>();
}

std::span<const Command> wait_commands() { return kWaitCommands; }

}  // namespace lxmgr::cli
