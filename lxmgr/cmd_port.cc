#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/port_spec.h"
#include "lxmgr/table.h"

namespace lxmgr::cli {
Result<int> publish_ports(Client& client, const Args& args, const std::string& instance,
                          const std::vector<std::string>& ports) {
    std::vector<PortSpec> specs;
    for (const auto& text : ports) {
        auto spec = parse_port_spec(text);
        if (!spec) return misuse(args, spec.error().message);
        if (args.given("name")) spec->name = args.text("name");
        specs.push_back(*std::move(spec));
    }
    if (args.given("name") && specs.size() > 1) return misuse(args, "--name is for one port at a time");
    const auto add = [&](Json& value) -> Result<> {
        for (const PortSpec& spec : specs) {
            if (member(value, "expanded_devices").contains(spec.name)) {
                return fail(Status::conflict,
                            fmt::format("Instance '{}' has a device '{}' already: give another "
                                        "--name",
                                        instance, spec.name));
            }
            value["devices"][spec.name] = {
                {"type", "proxy"}, {"nat", "true"}, {"listen", spec.listen}, {"connect", spec.target}};
        }
        return {};
    };
    LX_TRY(change_object(client, instance_object(instance), add));
    return 0;
}

namespace {

bool is_published(const Json& device) {
    return text_member(device, "type") == "proxy" && text_member(device, "nat") == "true";
}

Result<int> run_port_add(Client& client, const Args& args) {
    return publish_ports(client, args, args.text("INSTANCE"), args.list("PORTS"));
}

Result<int> run_port_list(Client& client, const Args& args) {
    Json instances = Json::array();
    if (args.given("INSTANCE")) {
        LX_TRY_AS(Json one, read_object(client, instance_object(args.text("INSTANCE"))));
        instances.push_back(std::move(one));
    } else {
        LX_TRY_AS(instances, client.get("/1.0/instances?recursion=1"));
    }
    Table table{{"INSTANCE", "NAME", "LISTEN", "TARGET"}, {}};
    Json published = Json::array();
    for (const auto& instance : instances) {
        for (const auto& [name, device] : member(instance, "expanded_devices").items()) {
            if (!is_published(device)) continue;
            table.rows.push_back({text_member(instance, "name"), name, text_member(device, "listen"),
                                  text_member(device, "connect")});
            published.push_back({{"instance", text_member(instance, "name")},
                                 {"name", name},
                                 {"listen", text_member(device, "listen")},
                                 {"target", text_member(device, "connect")}});
        }
    }
    print_list(format_of(args.text("format")), table, published);
    return 0;
}

Result<int> run_port_remove(Client& client, const Args& args) {
    const std::string& instance = args.text("INSTANCE");
    const auto remove = [&](Json& value) -> Result<> {
        for (const auto& name : args.list("NAME")) {
            Json& devices = value["devices"];
            if (!devices.contains(name) || !is_published(devices[name])) {
                return fail(
                    Status::not_found,
                    fmt::format(
                        "Instance '{}' has no published port '{}'; 'lxmgr port list' shows what there is",
                        instance, name));
            }
            devices.erase(name);
        }
        return {};
    };
    LX_TRY(change_object(client, instance_object(instance), remove));
    return 0;
}

constexpr Operand kPortInstance = {"INSTANCE", Count::one, Kind::instance};
constexpr Operand kPublishAdd[] = {kPortInstance, {"PORTS", Count::some}};
constexpr Operand kPortList[] = {{"INSTANCE", Count::optional, Kind::instance}};
constexpr Operand kPublishRemove[] = {kPortInstance, {"NAME", Count::some}};
constexpr Option kPortName[] = {{"--name", "NAME", "of the published port, instead of port-PORT"}};
constexpr Option kPortListOptions[] = {kFormatOption};
constexpr const char* kPortDetails =
    "PORTS is [ADDRESS:]PORT[:PORT][/PROTOCOL]: what arrives at the first port of the host goes to the "
    "second one of "
    "the instance, which is the same when it is left out. Either may be a range; the protocol is tcp or udp. "
    "Without "
    "an ADDRESS all addresses of the host are meant, IPv6 and 127.0.0.1 included. The instance sees the "
    "address of "
    "its client, and keeps its ports over restarts: they are devices of type proxy.";
const Command kPortCommands[] = {
    {"port add", "Publish ports of an instance on the host, as publish does", kPublishAdd, kPortName,
     kPortDetails, "port add dev 8080:80 --name web", run_port_add},
    {"port list", "List published ports", kPortList, kPortListOptions, "", "port list\nport list dev",
     run_port_list, false, "ls"},
    {"port remove",
     "Stop publishing ports of an instance",
     kPublishRemove,
     {},
     "",
     "port remove dev port-8080",
     run_port_remove,
     false,
     "rm"},
};

}  // namespace

std::span<const Command> port_commands() { return kPortCommands; }

}  // namespace lxmgr::cli
