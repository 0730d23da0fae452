#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"
#include "lxmgr/terminal.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

void line(std::string_view name, std::string_view value) {
    if (!value.empty()) fmt::print("{}: {}\n", name, printable(value));
}

std::string bytes_at(const Json& object, std::string_view key) {
    const Json& value = member(object, key);
    return value.is_number() && value.get<std::int64_t>() > 0 ? human_bytes(value.get<std::uint64_t>()) : "";
}

void print_memory(const Json& memory) {
    if (bytes_at(memory, "usage").empty()) return;
    fmt::print("Memory:\n");
    line("  Current", bytes_at(memory, "usage"));
    line("  Peak", bytes_at(memory, "usage_peak"));
    line("  Total", bytes_at(memory, "total"));
    line("  Swap", bytes_at(memory, "swap_usage"));
}

void print_interface(const std::string& name, const Json& interface) {
    fmt::print("  {}:\n", printable(name));
    line("    State", text_member(interface, "state"));
    line("    Host interface", text_member(interface, "host_name"));
    line("    MAC address", text_member(interface, "hwaddr"));
    const Json& counters = member(interface, "counters");
    line("    Received", bytes_at(counters, "bytes_received"));
    line("    Sent", bytes_at(counters, "bytes_sent"));
    for (const auto& address : member(interface, "addresses")) {
        fmt::print("    {}: {}/{} ({})\n", text_member(address, "family"),
                   printable(text_member(address, "address")), printable(text_member(address, "netmask")),
                   printable(text_member(address, "scope")));
    }
}

void print_state(const Json& state) {
    const Json& pid = member(state, "pid");
    if (!pid.is_number() || pid.get<std::int64_t>() <= 0) return;
    line("PID", pid.dump());
    line("Processes", member(state, "processes").dump());
    const Json& cpu = member(member(state, "cpu"), "usage");
    if (cpu.is_number_unsigned()) line("CPU used", human_seconds(cpu.get<std::uint64_t>()));
    print_memory(member(state, "memory"));
    const Json& disk = member(state, "disk");
    if (disk.is_object() && !disk.empty()) {
        fmt::print("Disk:\n");
        for (const auto& [name, use] : disk.items()) line("  " + name, bytes_at(use, "usage"));
    }
    const Json& network = member(state, "network");
    if (!network.is_object() || network.empty()) return;
    fmt::print("Network:\n");
    for (const auto& [name, interface] : network.items()) print_interface(name, interface);
}

void print_instance(const Json& instance, const Json& state) {
    line("Name", text_member(instance, "name"));
    line("Status", text_member(instance, "status"));
    line("Type", text_member(instance, "type"));
    line("Description", text_member(instance, "description"));
    line("Architecture", text_member(instance, "architecture"));
    line("Image", text_member(member(instance, "config"), "image.description"));
    line("Created", human_time(text_member(instance, "created_at")));
    line("Last used", human_time(text_member(instance, "last_used_at")));
    std::string profiles;
    for (const auto& profile : member(instance, "profiles")) {
        profiles += fmt::format("{}{}", profiles.empty() ? "" : ", ", profile.get<std::string>());
    }
    line("Profiles", profiles);
    print_state(state);
}

/// The end of the log that the daemon kept of the instance's console.
Result<> print_logs(Client& client, const Object& object) {
    auto log = client.open({.method = "GET", .target = object.path + "/console", .headers = {}, .body = {}});
    if (!log) return std::unexpected(explain(object, "Reading the console log of", std::move(log).error()));
    LX_TRY_AS(const std::string text, (*log)->read_all());
    fmt::print("\nConsole log:\n{}\n", text);
    return {};
}

void print_snapshots(const Json& snapshots) {
    if (!snapshots.is_array() || snapshots.empty()) return;
    fmt::print("Snapshots:\n");
    for (const auto& snapshot : snapshots) {
        const std::string expires = human_time(text_member(snapshot, "expires_at"));
        fmt::print("  {}: {}{}{}\n", printable(text_member(snapshot, "name")),
                   human_time(text_member(snapshot, "created_at")), expires.empty() ? "" : ", expires ",
                   expires);
    }
}

Result<int> run_info(Client& client, const Args& args) {
    const Format format = format_of(args.text("format"));
    if (!args.given("INSTANCE")) {
        const bool resources = args.flag("resources");
        LX_TRY_AS(const Json server, client.get(resources ? "/1.0/resources" : "/1.0"));
        print_object(format, server);
        return 0;
    }
    if (args.flag("resources")) return misuse(args, "--resources is about the server, not about an instance");
    const Object object = instance_object(args.text("INSTANCE"));
    LX_TRY_AS(const Json instance, read_object(client, object));
    auto state = client.get(object.path + "/state");
    if (!state) return std::unexpected(explain(object, "Reading the state of", std::move(state).error()));
    auto snapshots = client.get(object.path + "/snapshots?recursion=1");
    if (!snapshots)
        return std::unexpected(explain(object, "Reading the snapshots of", std::move(snapshots).error()));
    if (format == Format::table) {
        print_instance(instance, *state);
        print_snapshots(*snapshots);
    } else {
        Json whole = instance;
        whole["state"] = *state;
        whole["snapshots"] = *snapshots;
        print_object(format, whole);
    }
    if (args.flag("show-log")) LX_TRY(print_logs(client, object));
    return 0;
}

constexpr Operand kInfoOperands[] = {{"INSTANCE", Count::optional, Kind::instance}};
constexpr Option kInfoOptions[] = {
    {"-f,--format", "FORMAT", "how to print: table (for people), json or yaml", false, "table|json|yaml",
     "table"},
    {"--show-log", "", "also print the instance's console log"},
    {"--resources", "", "print the hardware of the server"},
};
const Command kInfoCommands[] = {
    {"info", "Show an instance, or the server", kInfoOperands, kInfoOptions, "",
     "info dev\ninfo dev --show-log\ninfo", run_info},
};

}  // namespace

std::span<const Command> info_commands() { return kInfoCommands; }

}  // namespace lxmgr::cli
