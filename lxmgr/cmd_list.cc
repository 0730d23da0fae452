// list: one request for everything; recursion=2 only when a shown column needs the running state.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"
#include "lxmgr/terminal.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

std::string addresses(const Json& instance, std::string_view family) {
    std::string text;
    const Json& network = member(member(instance, "state"), "network");
    if (!network.is_object()) return text;
    for (const auto& [interface, state] : network.items()) {
        if (interface == "lo") continue;
        for (const auto& address : member(state, "addresses")) {
            if (text_member(address, "family") != family || text_member(address, "scope") != "global")
                continue;
            text += fmt::format("{}{} ({})", text.empty() ? "" : "\n", text_member(address, "address"),
                                interface);
        }
    }
    return text;
}

std::string joined(const Json& array, std::string_view separator) {
    std::string text;
    for (const auto& item : array) {
        if (item.is_string())
            text += fmt::format("{}{}", text.empty() ? "" : separator, item.get<std::string>());
    }
    return text;
}

std::uint64_t number_at(const Json& object, std::initializer_list<const char*> keys) {
    const Json* at = &object;
    for (const char* key : keys) at = &member(*at, key);
    return at->is_number_unsigned() ? at->get<std::uint64_t>() : 0;
}

std::string cell_name(const Json& i) { return text_member(i, "name"); }
std::string cell_project(const Json& i) { return text_member(i, "project"); }
std::string cell_state(const Json& i) {
    std::string status = text_member(i, "status");
    std::ranges::transform(status, status.begin(),
                           [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    return status;
}
std::string cell_ipv4(const Json& i) { return addresses(i, "inet"); }
std::string cell_ipv6(const Json& i) { return addresses(i, "inet6"); }
std::string cell_type(const Json& i) {
    const std::string type = text_member(i, "type") == "virtual-machine" ? "VIRTUAL-MACHINE" : "CONTAINER";
    return member(i, "ephemeral") == true ? type + " (EPHEMERAL)" : type;
}
std::string cell_snapshots(const Json& i) { return std::to_string(member(i, "snapshots").size()); }
std::string cell_profiles(const Json& i) { return joined(member(i, "profiles"), "\n"); }
std::string cell_created(const Json& i) { return human_time(text_member(i, "created_at")); }
std::string cell_used(const Json& i) { return human_time(text_member(i, "last_used_at")); }
std::string cell_description(const Json& i) { return text_member(i, "description"); }
std::string cell_architecture(const Json& i) { return text_member(i, "architecture"); }
std::string cell_pid(const Json& i) {
    const auto pid = member(member(i, "state"), "pid");
    return pid.is_number() && pid.get<std::int64_t>() > 0 ? pid.dump() : "";
}
std::string cell_processes(const Json& i) {
    const auto processes = member(member(i, "state"), "processes");
    return processes.is_number() && processes.get<std::int64_t>() > 0 ? processes.dump() : "";
}
std::string cell_memory(const Json& i) {
    const auto bytes = number_at(i, {"state", "memory", "usage"});
    return bytes > 0 ? human_bytes(bytes) : "";
}
std::string cell_disk(const Json& i) {
    const auto bytes = number_at(i, {"state", "disk", "root", "usage"});
    return bytes > 0 ? human_bytes(bytes) : "";
}
std::string cell_cpu(const Json& i) {
    const auto used = number_at(i, {"state", "cpu", "usage"});
    return used > 0 ? human_seconds(used) : "";
}
std::string cell_pool(const Json& i) {
    return text_member(member(member(i, "expanded_devices"), "root"), "pool");
}

struct Column {
    char letter;
    const char* title;
    std::string (*cell)(const Json& instance);
    bool needs_state;
};
constexpr std::array kColumns{
    Column{'n', "NAME", cell_name, false},
    Column{'s', "STATE", cell_state, false},
    Column{'4', "IPV4", cell_ipv4, true},
    Column{'6', "IPV6", cell_ipv6, true},
    Column{'t', "TYPE", cell_type, false},
    Column{'S', "SNAPSHOTS", cell_snapshots, true},
    Column{'a', "ARCHITECTURE", cell_architecture, false},
    Column{'b', "STORAGE POOL", cell_pool, false},
    Column{'e', "PROJECT", cell_project, false},
    Column{'c', "CREATED AT", cell_created, false},
    Column{'d', "DESCRIPTION", cell_description, false},
    Column{'D', "DISK USAGE", cell_disk, true},
    Column{'l', "LAST USED AT", cell_used, false},
    Column{'m', "MEMORY USAGE", cell_memory, true},
    Column{'N', "PROCESSES", cell_processes, true},
    Column{'p', "PID", cell_pid, true},
    Column{'P', "PROFILES", cell_profiles, false},
    Column{'u', "CPU USAGE", cell_cpu, true},
};

Result<std::vector<Column>> chosen_columns(const std::string& letters) {
    std::vector<Column> columns;
    for (const char letter : letters) {
        if (letter == ',') continue;
        const auto at = std::ranges::find(kColumns, letter, &Column::letter);
        if (at == kColumns.end())
            return fail(Status::bad_request, fmt::format("There is no column '{}'", letter));
        columns.push_back(*at);
    }
    return columns;
}

/// "key=value" compares a field or a config key; any other word is a beginning of the name.
bool matches(const Json& instance, const std::string& filter) {
    const auto at = filter.find('=');
    if (at == std::string::npos) return text_member(instance, "name").starts_with(filter);
    const std::string key = filter.substr(0, at);
    std::string value = text_member(instance, key);
    if (value.empty()) value = text_member(member(instance, "expanded_config"), key);
    return to_lower(value) == to_lower(filter.substr(at + 1));
}

Json filtered(Json instances, const std::vector<std::string>& filters) {
    Json kept = Json::array();
    for (auto& instance : instances) {
        const auto match = [&instance](const std::string& filter) { return matches(instance, filter); };
        const bool named = filters.empty() || std::ranges::any_of(filters, match);
        if (named) kept.push_back(std::move(instance));
    }
    std::sort(kept.begin(), kept.end(),
              [](const Json& a, const Json& b) { return text_member(a, "name") < text_member(b, "name"); });
    return kept;
}

Result<int> run_list(Client& client, const Args& args) {
    const bool all = args.flag("all-projects");
    const auto columns = chosen_columns((all ? "e" : "") + args.text("columns"));
    if (!columns) return misuse(args, columns.error().message);
    const Format format = format_of(args.text("format"));
    const bool whole = format == Format::json || format == Format::yaml;
    const bool state = whole || std::ranges::any_of(*columns, &Column::needs_state);
    LX_TRY_AS(Json instances, client.get(fmt::format("/1.0/instances?recursion={}{}", state ? 2 : 1,
                                                     all ? "&all-projects=true" : "")));
    const bool none_at_all = instances.empty();
    instances = filtered(std::move(instances), args.list("FILTER"));
    if (none_at_all && format == Format::table && is_terminal(STDOUT_FILENO)) {
        tell("There are no instances yet. Make the first one with: lxmgr launch debian/12 dev");
        return 0;
    }
    Table table;
    for (const auto& column : *columns) table.header.emplace_back(column.title);
    for (const auto& instance : instances) {
        auto& row = table.rows.emplace_back();
        for (const auto& column : *columns) row.push_back(column.cell(instance));
    }
    print_list(format, table, instances);
    return 0;
}

constexpr const char* kDetails =
    "FILTER is the beginning of a name, or FIELD=VALUE for a field or config key (status=running, "
    "user.role=db).\n"
    "Columns: n name, s state, 4 IPv4, 6 IPv6, t type, S snapshots, a architecture, b storage pool, c "
    "created,\n"
    "d description, D disk usage, e project, l last used, m memory usage, N processes, p PID of the init, P "
    "profiles, u "
    "CPU usage.";
constexpr Operand kListOperands[] = {{"FILTER", Count::any, Kind::instance}};
constexpr Option kListOptions[] = {
    kFormatOption,
    {"-A,--all-projects", "", "those of all projects"},
    {"-c,--columns", "LETTERS", "which columns, in which order", false, "", "ns46tS"},
};
const Command kListCommands[] = {
    {"list", "List instances", kListOperands, kListOptions, kDetails,
     "list\nlist -c nsmu status=running\nlist web -f csv -c n4", run_list, false, "ls"},
};

}  // namespace

std::span<const Command> list_commands() { return kListCommands; }

}  // namespace lxmgr::cli
