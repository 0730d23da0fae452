#include <fmt/format.h>

#include <array>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"

namespace lxmgr::cli {
namespace {

constexpr std::array kForwardKeys{"config", "description", "ports"};

std::string forwards_path(const std::string& network) { return api_path({"networks", network, "forwards"}); }

Object forward_object(const std::string& network, const std::string& address) {
    return {"network forward", address, api_path({"networks", network, "forwards", address}),
            "lxmgr network forward list", kForwardKeys};
}
Object forward_of(const Args& args) { return forward_object(args.text("NETWORK"), args.text("ADDRESS")); }

Result<int> run_forward_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json forwards, client.get(forwards_path(args.text("NETWORK")) + "?recursion=1"));
    Table table{{"LISTEN ADDRESS", "DESCRIPTION", "DEFAULT TARGET", "PORTS"}, {}};
    for (const auto& forward : forwards) {
        table.rows.push_back({text_member(forward, "listen_address"), text_member(forward, "description"),
                              text_member(member(forward, "config"), "target_address"),
                              std::to_string(member(forward, "ports").size())});
    }
    print_list(format_of(args.text("format")), table, forwards);
    return 0;
}

Result<int> run_forward_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json forward, read_object(client, forward_of(args)));
    print_object(Format::yaml, forward);
    return 0;
}

Result<int> run_forward_create(Client& client, const Args& args) {
    const auto pairs = parse_pairs(args.list("KEY=VALUE"));
    if (!pairs) return misuse(args, pairs.error().message);
    Json config = Json::object();
    for (const auto& [key, value] : *pairs) config[key] = value;
    const Json body{{"listen_address", args.text("ADDRESS")},
                    {"description", args.text("description")},
                    {"config", std::move(config)}};
    const std::string path = forwards_path(args.text("NETWORK"));
    auto done = client.call("POST", path, body, {"Creating network forward " + args.text("ADDRESS")});
    if (!done) return std::unexpected(explain(forward_of(args), "Creating", std::move(done).error()));
    return 0;
}

Result<int> run_forward_edit(Client& client, const Args& args) {
    LX_TRY(edit_object(client, forward_of(args)));
    return 0;
}

Result<int> run_forward_set(Client& client, const Args& args) {
    const auto settings = parse_settings(args.list("KEY=VALUE"));
    if (!settings) return misuse(args, settings.error().message);
    LX_TRY(set_config(client, forward_of(args), *settings));
    return 0;
}

Result<int> run_forward_delete(Client& client, const Args& args) {
    const Object object = forward_of(args);
    auto done = client.call("DELETE", object.path, nullptr, {"Deleting " + title(object)});
    if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    return 0;
}

Result<int> run_forward_port_add(Client& client, const Args& args) {
    const auto add = [&](Json& forward) -> Result<> {
        forward["ports"].push_back({{"protocol", args.text("PROTOCOL")},
                                    {"listen_port", args.text("LISTEN-PORTS")},
                                    {"target_address", args.text("TARGET-ADDRESS")},
                                    {"target_port", args.text("TARGET-PORTS")},
                                    {"description", args.text("description")}});
        return {};
    };
    LX_TRY(change_object(client, forward_of(args), add));
    return 0;
}

Result<int> run_forward_port_remove(Client& client, const Args& args) {
    const auto remove = [&](Json& forward) -> Result<> {
        Json kept = Json::array();
        for (const Json& port : member(forward, "ports")) {
            const bool wanted = text_member(port, "protocol") == args.text("PROTOCOL") &&
                                text_member(port, "listen_port") == args.text("LISTEN-PORTS");
            if (!wanted) kept.push_back(port);
        }
        if (kept.size() == member(forward, "ports").size()) return fail(Status::not_found, "No port matches");
        forward["ports"] = std::move(kept);
        return {};
    };
    LX_TRY(change_object(client, forward_of(args), remove));
    return 0;
}

constexpr Operand kForwardNetwork = {"NETWORK", Count::one, Kind::network};
constexpr Operand kForwardNetworkOnly[] = {kForwardNetwork};
constexpr Operand kForward[] = {kForwardNetwork, {"ADDRESS"}};
constexpr Operand kForwardCreate[] = {kForwardNetwork, {"ADDRESS"}, {"KEY=VALUE", Count::any}};
constexpr Operand kForwardSet[] = {kForwardNetwork, {"ADDRESS"}, {"KEY=VALUE", Count::some}};
constexpr Operand kPortAdd[] = {kForwardNetwork,  {"ADDRESS"},        {"PROTOCOL"},
                                {"LISTEN-PORTS"}, {"TARGET-ADDRESS"}, {"TARGET-PORTS", Count::optional}};
constexpr Operand kPortRemove[] = {kForwardNetwork, {"ADDRESS"}, {"PROTOCOL"}, {"LISTEN-PORTS"}};
constexpr Option kForwardListOptions[] = {kFormatOption};
constexpr Option kForwardDescription[] = {{"--description", "TEXT", "what it is for"}};
const Command kForwardCommands[] = {
    {"network forward list", "List the forwards of a network", kForwardNetworkOnly, kForwardListOptions, "",
     "network forward list lab", run_forward_list, false, "ls"},
    {"network forward show",
     "Show a forward",
     kForward,
     {},
     "",
     "network forward show lab 192.0.2.9",
     run_forward_show},
    {"network forward create", "Send what arrives at an address of the host to instances", kForwardCreate,
     kForwardDescription, "With target_address, everything goes there that no port says otherwise.",
     "network forward create lab 192.0.2.9\nnetwork forward create lab 192.0.2.9 target_address=10.90.0.5",
     run_forward_create},
    {"network forward edit",
     "Edit a forward",
     kForward,
     {},
     "",
     "network forward edit lab 192.0.2.9",
     run_forward_edit},
    {"network forward set",
     "Set config keys of a forward",
     kForwardSet,
     {},
     "",
     "network forward set lab 192.0.2.9 target_address=10.90.0.5",
     run_forward_set},
    {"network forward delete",
     "Delete a forward",
     kForward,
     {},
     "",
     "network forward delete lab 192.0.2.9",
     run_forward_delete,
     false,
     "rm"},
    {"network forward port add", "Forward ports to an instance", kPortAdd, kForwardDescription,
     "PROTOCOL is tcp or udp; ports are numbers and ranges with commas between. Without TARGET-PORTS they "
     "stay the "
     "same.",
     "network forward port add lab 192.0.2.9 tcp 8080 10.90.0.5 80", run_forward_port_add},
    {"network forward port remove",
     "Stop forwarding ports",
     kPortRemove,
     {},
     "",
     "network forward port remove lab 192.0.2.9 tcp 8080",
     run_forward_port_remove,
     false,
     "rm"},
};

}  // namespace

std::span<const Command> network_forward_commands() { return kForwardCommands; }

}  // namespace lxmgr::cli
