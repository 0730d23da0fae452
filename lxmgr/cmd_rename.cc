#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"

namespace lxmgr::cli {
namespace {

Result<int> run_rename(Client& client, const Args& args) {
    const Object object = instance_object(args.text("INSTANCE"));
    auto done =
        client.call("POST", object.path, Json{{"name", args.text("NEW-NAME")}}, {"Renaming " + object.name});
    if (!done) return std::unexpected(explain(object, "Renaming", std::move(done).error()));
    return 0;
}

constexpr Operand kRenameOperands[] = {{"INSTANCE", Count::one, Kind::instance}, {"NEW-NAME"}};
const Command kRenameCommands[] = {
    {"rename",
     "Give a stopped instance, or a snapshot, another name",
     kRenameOperands,
     {},
     "INSTANCE/SNAPSHOT names a snapshot; then NEW-NAME is the snapshot's alone.",
     "rename dev old-dev\nrename dev/snap0 before-upgrade",
     run_rename},
};

}  // namespace

std::span<const Command> rename_commands() { return kRenameCommands; }

}  // namespace lxmgr::cli
