// admin recover: what stands in pools and the database does not know.
#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/device.h"
#include "lxmgr/object.h"
#include "lxmgr/options.h"
#include "lxmgr/table.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

/// "NAME,driver=DRIVER,source=PATH,..." as the API wants it.
Result<Json> pool_of(const std::string& text) {
    LX_TRY_AS(const auto parsed, parse_device(text));
    Json config = Json::object();
    std::string driver;
    for (const auto& [key, value] : parsed.second) {
        if (key == "driver") {
            driver = value;
        } else {
            config[key] = value;
        }
    }
    if (driver.empty())
        return fail(Status::bad_request,
                    fmt::format("Pool '{}' has no driver: add driver=...", parsed.first));
    return Json{{"name", parsed.first}, {"driver", driver}, {"config", config}};
}

void print_found(const Json& found) {
    Table table{{"POOL", "TYPE", "NAME", "SNAPSHOTS"}, {}};
    for (const auto& one : member(found, "UnknownVolumes"))
        table.rows.push_back({text_member(one, "pool"), text_member(one, "type"), text_member(one, "name"),
                              member(one, "snapshotCount").dump()});
    if (!table.rows.empty()) print_list(Format::table, table, member(found, "UnknownVolumes"));
}

/// True when there are any.
bool print_problems(const Json& found) {
    for (const auto& one : member(found, "DependencyErrors"))
        if (one.is_string()) warn(one.get_ref<const std::string&>());
    return !member(found, "DependencyErrors").empty();
}

Result<int> run_recover(Client& client, const Args& args) {
    Json body = {{"pools", Json::array()}};
    for (const auto& text : args.list("pool")) {
        auto pool = pool_of(text);
        if (!pool) return misuse(args, pool.error().message);
        body["pools"].push_back(*std::move(pool));
    }
    const bool wanted = args.flag("yes");
    const char* path = wanted ? "/internal/recover/import" : "/internal/recover/validate";
    LX_TRY_AS(const Json found, client.call("POST", path, body, {"Looking for lost volumes"}));
    print_found(found);
    const bool problems = print_problems(found);
    const bool nothing = member(found, "UnknownVolumes").empty();
    if (nothing && !problems) tell("Nothing is lost: the database knows every volume");
    if (!nothing) tell(wanted ? "Recovered" : "Recover them with: lxmgr admin recover --yes");
    return problems && wanted ? 1 : 0;
}

constexpr Option kRecoverOptions[] = {
    {"--pool", "NAME,driver=DRIVER[,KEY=VALUE...]",
     "a pool to look at, with the config that it had (may be repeated)", true},
    {"--yes", "", "recover what was found; without it, it is only listed"},
};
const Command kRecoverCommands[] = {
    {"admin recover",
     "Recover instances and volumes whose database was lost",
     {},
     kRecoverOptions,
     "Looks at the pools that the server knows and at those in its directory that it does not; a pool "
     "elsewhere must be\nnamed with its source. What is found comes back with config, profiles and "
     "snapshots, "
     "as backup.yaml beside it says.\nNetworks must be made again first.",
     "admin recover\nadmin recover --yes\nadmin recover --pool fast,driver=btrfs,source=/srv/fast --yes",
     run_recover},
};

}  // namespace

std::span<const Command> recover_commands() { return kRecoverCommands; }

}  // namespace lxmgr::cli
