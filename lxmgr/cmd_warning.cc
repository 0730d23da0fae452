#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

Object warning_object(const std::string& uuid) {
    return {"warning", uuid, api_path({"warnings", uuid}), "lxmgr warning list --all", {}};
}

Result<int> run_warning_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json all, client.get("/1.0/warnings?recursion=1"));
    Json shown = Json::array();
    for (const auto& warning : all) {
        if (args.flag("all") || text_member(warning, "status") == "new") shown.push_back(warning);
    }
    Table table{{"UUID", "TYPE", "STATUS", "SEVERITY", "COUNT", "ABOUT", "LAST SEEN"}, {}};
    for (const auto& warning : shown) {
        table.rows.push_back({text_member(warning, "uuid"), text_member(warning, "type"),
                              text_member(warning, "status"), text_member(warning, "severity"),
                              member(warning, "count").dump(), text_member(warning, "entity_url"),
                              human_time(text_member(warning, "last_seen_at"))});
    }
    print_list(format_of(args.text("format")), table, shown);
    return 0;
}

Result<int> run_warning_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json warning, read_object(client, warning_object(args.text("UUID"))));
    print_object(Format::yaml, warning);
    return 0;
}

Result<int> run_acknowledge(Client& client, const Args& args) {
    for (const auto& uuid : args.list("UUID")) {
        const Object object = warning_object(uuid);
        auto done = client.call("PUT", object.path, Json{{"status", "acknowledged"}});
        if (!done) return std::unexpected(explain(object, "Acknowledging", std::move(done).error()));
    }
    return 0;
}

Result<> delete_one(Client& client, const std::string& uuid) {
    const Object object = warning_object(uuid);
    auto done = client.call("DELETE", object.path, nullptr);
    if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    return {};
}

Result<int> run_warning_delete(Client& client, const Args& args) {
    if (args.flag("all") == args.given("UUID")) return misuse(args, "give UUIDs, or --all");
    if (!args.flag("all")) {
        for (const auto& uuid : args.list("UUID")) LX_TRY(delete_one(client, uuid));
        return 0;
    }
    LX_TRY_AS(const Json all, client.get("/1.0/warnings?recursion=1"));
    for (const auto& warning : all) {
        auto deleted = delete_one(client, text_member(warning, "uuid"));
        // Another client may have been faster.
        if (!deleted && deleted.error().status != Status::not_found)
            return std::unexpected(std::move(deleted).error());
    }
    return 0;
}

constexpr Operand kOne[] = {{"UUID"}};
constexpr Operand kSome[] = {{"UUID", Count::some}};
constexpr Operand kAny[] = {{"UUID", Count::any}};
constexpr Option kWarningListOptions[] = {{"-a,--all", "", "also those that are acknowledged or resolved"},
                                          kFormatOption};
constexpr Option kWarningDeleteOptions[] = {{"-a,--all", "", "every warning"}};
const Command kWarningCommands[] = {
    {"warning list",
     "List what went wrong and may need somebody's care",
     {},
     kWarningListOptions,
     "",
     "warning list\nwarning list --all",
     run_warning_list,
     false,
     "ls"},
    {"warning show",
     "Show a warning",
     kOne,
     {},
     "",
     "warning show 6b1e0f0a-6a0c-4f58-8d4e-0d2f2b0f8c11",
     run_warning_show},
    {"warning acknowledge",
     "Mark warnings as known",
     kSome,
     {},
     "They leave the list; one that is raised again is counted there.",
     "warning acknowledge 6b1e0f0a-6a0c-4f58-8d4e-0d2f2b0f8c11",
     run_acknowledge,
     false,
     "ack"},
    {"warning delete", "Delete warnings", kAny, kWarningDeleteOptions, "",
     "warning delete 6b1e0f0a-6a0c-4f58-8d4e-0d2f2b0f8c11\nwarning delete --all", run_warning_delete, false,
     "rm"},
};

}  // namespace

std::span<const Command> warning_commands() { return kWarningCommands; }

}  // namespace lxmgr::cli
