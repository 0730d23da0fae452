#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

Object operation_object(const std::string& id) {
    return {"operation", id, api_path({"operations", id}), "lxmgr operation list", {}};
}

/// The API groups operations by status; a list is wanted.
Json flattened(const Json& groups) {
    Json all = Json::array();
    for (const auto& group : groups) {
        for (const auto& operation : group) all.push_back(operation);
    }
    return all;
}

Result<int> run_operation_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json groups, client.get("/1.0/operations?recursion=1"));
    const Json all = flattened(groups);
    Table table{{"ID", "TYPE", "DESCRIPTION", "STATUS", "CANCELABLE", "CREATED"}, {}};
    for (const auto& operation : all) {
        table.rows.push_back({text_member(operation, "id"), text_member(operation, "class"),
                              text_member(operation, "description"), text_member(operation, "status"),
                              member(operation, "may_cancel") == true ? "YES" : "NO",
                              human_time(text_member(operation, "created_at"))});
    }
    print_list(format_of(args.text("format")), table, all);
    return 0;
}

Result<int> run_operation_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json operation, read_object(client, operation_object(args.text("ID"))));
    print_object(Format::yaml, operation);
    return 0;
}

Result<int> run_operation_delete(Client& client, const Args& args) {
    const Object object = operation_object(args.text("ID"));
    auto done = client.call("DELETE", object.path, nullptr);
    if (!done) return std::unexpected(explain(object, "Cancelling", std::move(done).error()));
    return 0;
}

constexpr Operand kOperationOperands[] = {{"ID", Count::one, Kind::operation}};
constexpr Option kOperationListOptions[] = {kFormatOption};
const Command kOperationCommands[] = {
    {"operation list",
     "List background operations",
     {},
     kOperationListOptions,
     "",
     "operation list",
     run_operation_list,
     false,
     "ls"},
    {"operation show",
     "Show a background operation",
     kOperationOperands,
     {},
     "",
     "operation show 6b1e0f0a-6a0c-4f58-8d4e-0d2f2b0f8c11",
     run_operation_show},
    {"operation delete",
     "Cancel a background operation",
     kOperationOperands,
     {},
     "Only operations that say so can be cancelled.",
     "operation delete 6b1e0f0a-6a0c-4f58-8d4e-0d2f2b0f8c11",
     run_operation_delete,
     false,
     "rm"},
};

}  // namespace

std::span<const Command> operation_commands() { return kOperationCommands; }

}  // namespace lxmgr::cli
