#include <fmt/format.h>

#include <array>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"

namespace lxmgr::cli {
namespace {

constexpr std::array kZoneKeys{"config", "description"};
constexpr std::array kZoneRecordKeys{"config", "description", "entries"};

Object zone_object(const std::string& name) {
    return {"network zone", name, api_path({"network-zones", name}), "lxmgr network zone list", kZoneKeys};
}
Object zone_record_object(const std::string& zone, const std::string& name) {
    return {"record", name, api_path({"network-zones", zone, "records", name}),
            "lxmgr network zone record list", kZoneRecordKeys};
}
Object zone_record_of(const Args& args) { return zone_record_object(args.text("ZONE"), args.text("RECORD")); }

Result<int> run_zone_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json zones, client.get("/1.0/network-zones?recursion=1"));
    Table table{{"NAME", "DESCRIPTION", "USED BY"}, {}};
    for (const auto& zone : zones) {
        table.rows.push_back({text_member(zone, "name"), text_member(zone, "description"),
                              std::to_string(member(zone, "used_by").size())});
    }
    print_list(format_of(args.text("format")), table, zones);
    return 0;
}

Result<int> run_zone_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json zone, read_object(client, zone_object(args.text("ZONE"))));
    print_object(Format::yaml, zone);
    return 0;
}

Result<int> run_zone_create(Client& client, const Args& args) {
    const auto pairs = parse_pairs(args.list("KEY=VALUE"));
    if (!pairs) return misuse(args, pairs.error().message);
    Json config = Json::object();
    for (const auto& [key, value] : *pairs) config[key] = value;
    const std::string& name = args.text("ZONE");
    const Json body{{"name", name}, {"description", args.text("description")}, {"config", std::move(config)}};
    auto done = client.call("POST", "/1.0/network-zones", body, {"Creating network zone " + name});
    if (!done) return std::unexpected(explain(zone_object(name), "Creating", std::move(done).error()));
    return 0;
}

Result<int> run_zone_edit(Client& client, const Args& args) {
    LX_TRY(edit_object(client, zone_object(args.text("ZONE"))));
    return 0;
}

Result<int> run_zone_set(Client& client, const Args& args) {
    const auto settings = parse_settings(args.list("KEY=VALUE"));
    if (!settings) return misuse(args, settings.error().message);
    LX_TRY(set_config(client, zone_object(args.text("ZONE")), *settings));
    return 0;
}

Result<int> run_zone_delete(Client& client, const Args& args) {
    const Object object = zone_object(args.text("ZONE"));
    auto done = client.call("DELETE", object.path, nullptr, {"Deleting " + title(object)});
    if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    return 0;
}

Result<int> run_record_list(Client& client, const Args& args) {
    const Object zone = zone_object(args.text("ZONE"));
    auto records = client.get(zone.path + "/records?recursion=1");
    if (!records) return std::unexpected(explain(zone, "Reading the records of", std::move(records).error()));
    Table table{{"NAME", "TYPE", "TTL", "VALUE"}, {}};
    for (const auto& record : *records) {
        for (const auto& entry : member(record, "entries")) {
            const Json& ttl = member(entry, "ttl");
            table.rows.push_back({text_member(record, "name"), text_member(entry, "type"),
                                  ttl.is_number() ? ttl.dump() : "", text_member(entry, "value")});
        }
    }
    print_list(format_of(args.text("format")), table, *records);
    return 0;
}

Result<int> run_record_add(Client& client, const Args& args) {
    Json entry{{"type", args.text("TYPE")}, {"value", args.text("VALUE")}};
    if (args.given("ttl")) {
        entry["ttl"] = std::strtoul(args.text("ttl").c_str(), nullptr, 10);
        if (entry["ttl"] == 0) return misuse(args, "--ttl must be a number of seconds");
    }
    const Object record = zone_record_of(args);
    if (client.get(record.path)) {
        const auto add = [&](Json& value) -> Result<> {
            value["entries"].push_back(entry);
            return {};
        };
        LX_TRY(change_object(client, record, add));
        return 0;
    }
    const Object zone = zone_object(args.text("ZONE"));
    const Json body{{"name", args.text("RECORD")}, {"entries", Json::array({entry})}};
    auto done = client.call("POST", zone.path + "/records", body, {"Creating record " + args.text("RECORD")});
    if (!done) return std::unexpected(explain(zone, "Adding a record to", std::move(done).error()));
    return 0;
}

Result<int> run_record_delete(Client& client, const Args& args) {
    const Object object = zone_record_of(args);
    auto done = client.call("DELETE", object.path, nullptr, {"Deleting " + title(object)});
    if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    return 0;
}

constexpr Operand kZone[] = {{"ZONE"}};
constexpr Operand kZoneCreate[] = {{"ZONE"}, {"KEY=VALUE", Count::any}};
constexpr Operand kZoneSet[] = {{"ZONE"}, {"KEY=VALUE", Count::some}};
constexpr Operand kZoneRecordAdd[] = {{"ZONE"}, {"RECORD"}, {"TYPE"}, {"VALUE"}};
constexpr Operand kZoneRecord[] = {{"ZONE"}, {"RECORD"}};
constexpr Option kZoneListOptions[] = {kFormatOption};
constexpr Option kZoneCreateOptions[] = {{"--description", "TEXT", "what it is for"}};
constexpr Option kZoneRecordOptions[] = {{"--ttl", "SECONDS", "how long others may keep it"}};
const Command kZoneCommands[] = {
    {"network zone list",
     "List DNS zones",
     {},
     kZoneListOptions,
     "",
     "network zone list",
     run_zone_list,
     false,
     "ls"},
    {"network zone show", "Show a DNS zone", kZone, {}, "", "network zone show lab.example", run_zone_show},
    {"network zone create", "Create a DNS zone", kZoneCreate, kZoneCreateOptions,
     "Networks that name it in dns.zone.forward or dns.zone.reverse.* add their instances. Peers "
     "(peers.NAME.address) get "
     "it by zone transfer from the server's core.dns_address.",
     "network zone create lab.example peers.ns1.address=192.0.2.53", run_zone_create},
    {"network zone edit", "Edit a DNS zone", kZone, {}, "", "network zone edit lab.example", run_zone_edit},
    {"network zone set",
     "Set config keys of a DNS zone",
     kZoneSet,
     {},
     "",
     "network zone set lab.example dns.nameservers=ns1.example",
     run_zone_set},
    {"network zone delete",
     "Delete a DNS zone",
     kZone,
     {},
     "",
     "network zone delete lab.example",
     run_zone_delete,
     false,
     "rm"},
    {"network zone record list", "List the records of a DNS zone", kZone, kZoneListOptions, "",
     "network zone record list lab.example", run_record_list, false, "ls"},
    {"network zone record add", "Add an entry to a record of a DNS zone", kZoneRecordAdd, kZoneRecordOptions,
     "TYPE is A, AAAA, CNAME, MX, NS, PTR, SRV or TXT; the record @ is the zone itself.",
     "network zone record add lab.example www CNAME web\nnetwork zone record add lab.example @ MX \"10 "
     "mail\"",
     run_record_add},
    {"network zone record delete",
     "Delete a record of a DNS zone",
     kZoneRecord,
     {},
     "",
     "network zone record delete lab.example www",
     run_record_delete,
     false,
     "rm"},
};

}  // namespace

std::span<const Command> network_zone_commands() { return kZoneCommands; }

}  // namespace lxmgr::cli
