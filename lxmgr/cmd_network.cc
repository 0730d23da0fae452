#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"

namespace lxmgr::cli {
namespace {

Result<int> run_network_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json networks, client.get("/1.0/networks?recursion=1"));
    Table table{{"NAME", "TYPE", "MANAGED", "IPV4", "IPV6", "DESCRIPTION", "USED BY"}, {}};
    for (const auto& network : networks) {
        const Json& config = member(network, "config");
        table.rows.push_back({text_member(network, "name"), text_member(network, "type"),
                              member(network, "managed") == true ? "YES" : "NO",
                              text_member(config, "ipv4.address"), text_member(config, "ipv6.address"),
                              text_member(network, "description"),
                              std::to_string(member(network, "used_by").size())});
    }
    print_list(format_of(args.text("format")), table, networks);
    return 0;
}

Result<int> run_network_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json network, read_object(client, network_object(args.text("NETWORK"))));
    print_object(Format::yaml, network);
    return 0;
}

Result<int> run_network_create(Client& client, const Args& args) {
    const auto pairs = parse_pairs(args.list("KEY=VALUE"));
    if (!pairs) return misuse(args, pairs.error().message);
    Json config = Json::object();
    for (const auto& [key, value] : *pairs) config[key] = value;
    const Json body = {{"name", args.text("NETWORK")},
                       {"type", args.text("type")},
                       {"description", args.text("description")},
                       {"config", std::move(config)}};
    auto done = client.call("POST", "/1.0/networks", body, {"Creating network " + args.text("NETWORK")});
    if (!done)
        return std::unexpected(
            explain(network_object(args.text("NETWORK")), "Creating", std::move(done).error()));
    return 0;
}

Result<int> run_network_delete(Client& client, const Args& args) {
    for (const auto& name : args.list("NETWORK")) {
        const Object object = network_object(name);
        auto done = client.call("DELETE", object.path, nullptr, {"Deleting network " + name});
        if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    }
    return 0;
}

Result<int> run_network_edit(Client& client, const Args& args) {
    LX_TRY(edit_object(client, network_object(args.text("NETWORK"))));
    return 0;
}

Result<int> run_network_get(Client& client, const Args& args) {
    LX_TRY(print_config(client, network_object(args.text("NETWORK")), args.text("KEY"), false));
    return 0;
}

Result<int> run_network_set(Client& client, const Args& args) {
    const auto settings = parse_settings(args.list("KEY=VALUE"));
    if (!settings) return misuse(args, settings.error().message);
    LX_TRY(set_config(client, network_object(args.text("NETWORK")), *settings));
    return 0;
}

Result<int> run_network_unset(Client& client, const Args& args) {
    LX_TRY(unset_config(client, network_object(args.text("NETWORK")), args.text("KEY")));
    return 0;
}

Result<int> run_leases(Client& client, const Args& args) {
    const Object object = network_object(args.text("NETWORK"));
    auto leases = client.get(object.path + "/leases");
    if (!leases) return std::unexpected(explain(object, "Reading the leases of", std::move(leases).error()));
    Table table{{"HOSTNAME", "MAC ADDRESS", "IP ADDRESS", "TYPE"}, {}};
    for (const auto& lease : *leases) {
        table.rows.push_back({text_member(lease, "hostname"), text_member(lease, "hwaddr"),
                              text_member(lease, "address"), text_member(lease, "type")});
    }
    print_list(format_of(args.text("format")), table, *leases);
    return 0;
}

/// Exit status 1 when something is wrong.
Result<int> run_network_doctor(Client& client, const Args& args) {
    std::vector<std::string> names = args.list("NETWORK");
    if (names.empty()) {
        LX_TRY_AS(const Json networks, client.get("/1.0/networks?recursion=1"));
        for (const auto& network : networks) {
            if (member(network, "managed") == true) names.push_back(text_member(network, "name"));
        }
    }
    bool good = true;
    for (const auto& name : names) {
        const Object object = network_object(name);
        auto findings = client.get(object.path + "/doctor");
        if (!findings) return std::unexpected(explain(object, "Examining", std::move(findings).error()));
        fmt::print("{}:\n", name);
        for (const auto& finding : *findings) {
            const bool is_good = member(finding, "good") == true;
            good = good && is_good;
            fmt::print("  {} {}\n", is_good ? "ok  " : "BAD ", text_member(finding, "message"));
        }
    }
    return good ? 0 : 1;
}

constexpr Operand kNetwork = {"NETWORK", Count::one, Kind::network};
constexpr Operand kNetworkOnly[] = {kNetwork};
constexpr Operand kNetworkNetworks[] = {{"NETWORK", Count::some, Kind::network}};
constexpr Operand kAnyNetworks[] = {{"NETWORK", Count::any, Kind::network}};
constexpr Operand kNetworkCreate[] = {{"NETWORK"}, {"KEY=VALUE", Count::any}};
constexpr Operand kNetworkKey[] = {kNetwork, {"KEY"}};
constexpr Operand kNetworkSettings[] = {kNetwork, {"KEY=VALUE", Count::some}};
constexpr Option kNetworkListOptions[] = {kFormatOption};
constexpr Option kNetworkCreateOptions[] = {
    {"--type", "TYPE", "kind of network", false, "bridge|macvlan|physical", "bridge"},
    {"--description", "TEXT", "what it is for"},
};
const Command kNetworkCommands[] = {
    {"network list",
     "List networks",
     {},
     kNetworkListOptions,
     "",
     "network list",
     run_network_list,
     false,
     "ls"},
    {"network show", "Show a network", kNetworkOnly, {}, "", "network show lxmgrbr0", run_network_show},
    {"network create", "Create a network", kNetworkCreate, kNetworkCreateOptions,
     "Addresses that are not given are chosen. Types macvlan and physical are the interface of the host that "
     "'parent' names.",
     "network create lab\nnetwork create lab ipv4.address=10.90.0.1/24 ipv6.address=none\n"
     "network create lan --type macvlan parent=eth0",
     run_network_create},
    {"network delete",
     "Delete networks",
     kNetworkNetworks,
     {},
     "",
     "network delete lab",
     run_network_delete,
     false,
     "rm"},
    {"network edit", "Edit a network", kNetworkOnly, {}, "", "network edit lab", run_network_edit},
    {"network get",
     "Print a config key of a network",
     kNetworkKey,
     {},
     "",
     "network get lab ipv4.address",
     run_network_get},
    {"network set",
     "Set config keys of a network",
     kNetworkSettings,
     {},
     "",
     "network set lab ipv4.nat=false",
     run_network_set},
    {"network unset",
     "Remove a config key of a network",
     kNetworkKey,
     {},
     "",
     "network unset lab ipv4.nat",
     run_network_unset},
    {"network doctor",
     "Look for what keeps networks from working",
     kAnyNetworks,
     {},
     "Looks at interfaces, addresses, forwarding, dnsmasq and rules, and says which rule of another program "
     "(Docker, ufw) "
     "is in the way.",
     "network doctor\nnetwork doctor lxmgrbr0",
     run_network_doctor},
    {"network leases", "List the addresses that were given out", kNetworkOnly, kNetworkListOptions, "",
     "network leases lxmgrbr0", run_leases, false, "list-leases"},
};

}  // namespace

std::span<const Command> network_commands() { return kNetworkCommands; }

}  // namespace lxmgr::cli
