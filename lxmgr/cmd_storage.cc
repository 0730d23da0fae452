#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

Result<int> run_pool_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json pools, client.get("/1.0/storage-pools?recursion=1"));
    Table table{{"NAME", "DRIVER", "SOURCE", "DESCRIPTION", "USED BY"}, {}};
    for (const auto& pool : pools) {
        table.rows.push_back({text_member(pool, "name"), text_member(pool, "driver"),
                              text_member(member(pool, "config"), "source"), text_member(pool, "description"),
                              std::to_string(member(pool, "used_by").size())});
    }
    print_list(format_of(args.text("format")), table, pools);
    return 0;
}

Result<int> run_pool_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json pool, read_object(client, pool_object(args.text("POOL"))));
    print_object(Format::yaml, pool);
    return 0;
}

Result<int> run_pool_info(Client& client, const Args& args) {
    const Object object = pool_object(args.text("POOL"));
    LX_TRY_AS(const Json pool, read_object(client, object));
    auto resources = client.get(object.path + "/resources");
    if (!resources)
        return std::unexpected(explain(object, "Reading the use of", std::move(resources).error()));
    const Json& space = member(*resources, "space");
    const auto bytes = [&space](const char* key) {
        const Json& value = member(space, key);
        return value.is_number_unsigned() ? human_bytes(value.get<std::uint64_t>()) : std::string("unknown");
    };
    fmt::print("Name: {}\nDriver: {}\nSpace used: {}\nTotal space: {}\nUsed by: {}\n", object.name,
               text_member(pool, "driver"), bytes("used"), bytes("total"), member(pool, "used_by").size());
    return 0;
}

Result<int> run_pool_create(Client& client, const Args& args) {
    const auto pairs = parse_pairs(args.list("KEY=VALUE"));
    if (!pairs) return misuse(args, pairs.error().message);
    Json config = Json::object();
    for (const auto& [key, value] : *pairs) config[key] = value;
    const Json body = {{"name", args.text("POOL")},
                       {"driver", args.text("DRIVER")},
                       {"description", args.text("description")},
                       {"config", std::move(config)}};
    auto done =
        client.call("POST", "/1.0/storage-pools", body, {"Creating storage pool " + args.text("POOL")});
    if (!done)
        return std::unexpected(explain(pool_object(args.text("POOL")), "Creating", std::move(done).error()));
    return 0;
}

Result<int> run_pool_delete(Client& client, const Args& args) {
    for (const auto& name : args.list("POOL")) {
        const Object object = pool_object(name);
        auto done = client.call("DELETE", object.path, nullptr, {"Deleting storage pool " + name});
        if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    }
    return 0;
}

Result<int> run_pool_edit(Client& client, const Args& args) {
    LX_TRY(edit_object(client, pool_object(args.text("POOL"))));
    return 0;
}

Result<int> run_pool_get(Client& client, const Args& args) {
    LX_TRY(print_config(client, pool_object(args.text("POOL")), args.text("KEY"), false));
    return 0;
}

Result<int> run_pool_set(Client& client, const Args& args) {
    const auto settings = parse_settings(args.list("KEY=VALUE"));
    if (!settings) return misuse(args, settings.error().message);
    LX_TRY(set_config(client, pool_object(args.text("POOL")), *settings));
    return 0;
}

Result<int> run_pool_unset(Client& client, const Args& args) {
    LX_TRY(unset_config(client, pool_object(args.text("POOL")), args.text("KEY")));
    return 0;
}

constexpr Operand kPool = {"POOL", Count::one, Kind::pool};
constexpr Operand kPoolOnly[] = {kPool};
constexpr Operand kPoolPools[] = {{"POOL", Count::some, Kind::pool}};
constexpr Operand kPoolCreate[] = {{"POOL"}, {"DRIVER"}, {"KEY=VALUE", Count::any}};
constexpr Operand kPoolKey[] = {kPool, {"KEY"}};
constexpr Operand kPoolSettings[] = {kPool, {"KEY=VALUE", Count::some}};
constexpr Option kPoolListOptions[] = {kFormatOption};
constexpr Option kPoolCreateOptions[] = {{"--description", "TEXT", "what it is for"}};
const Command kPoolCommands[] = {
    {"storage list",
     "List storage pools",
     {},
     kPoolListOptions,
     "",
     "storage list",
     run_pool_list,
     false,
     "ls"},
    {"storage show", "Show a storage pool", kPoolOnly, {}, "", "storage show default", run_pool_show},
    {"storage info",
     "Show how full a storage pool is",
     kPoolOnly,
     {},
     "",
     "storage info default",
     run_pool_info},
    {"storage create", "Create a storage pool", kPoolCreate, kPoolCreateOptions, "",
     "storage create fast overlay source=/srv/fast\nstorage create plain dir", run_pool_create},
    {"storage delete",
     "Delete storage pools",
     kPoolPools,
     {},
     "",
     "storage delete fast",
     run_pool_delete,
     false,
     "rm"},
    {"storage edit", "Edit a storage pool", kPoolOnly, {}, "", "storage edit default", run_pool_edit},
    {"storage get",
     "Print a config key of a storage pool",
     kPoolKey,
     {},
     "",
     "storage get default source",
     run_pool_get},
    {"storage set",
     "Set config keys of a storage pool",
     kPoolSettings,
     {},
     "",
     "storage set default size=50GiB",
     run_pool_set},
    {"storage unset",
     "Remove a config key of a storage pool",
     kPoolKey,
     {},
     "",
     "storage unset default size",
     run_pool_unset},
};

}  // namespace

std::span<const Command> storage_commands() { return kPoolCommands; }

}  // namespace lxmgr::cli
