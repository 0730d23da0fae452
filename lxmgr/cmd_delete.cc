#include <fmt/format.h>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

Result<> delete_snapshot(Client& client, const std::string& instance, const std::string& snapshot) {
    const std::string path = api_path({"instances", instance, "snapshots", snapshot});
    const Object object{"snapshot", instance + "/" + snapshot, path, "lxmgr info", {}};
    auto done = client.call("DELETE", path, nullptr, {fmt::format("Deleting {}", object.name)});
    if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    return {};
}

Result<> stop_by_force(Client& client, const Object& object) {
    const Json body = {{"action", "stop"}, {"force", true}, {"timeout", -1}, {"stateful", false}};
    auto done = client.call("PUT", object.path + "/state", body, {fmt::format("Stopping {}", object.name)});
    if (!done) return std::unexpected(explain(object, "Stopping", std::move(done).error()));
    return {};
}

Result<> delete_instance(Client& client, const std::string& name, bool force) {
    const Object object = instance_object(name);
    LX_TRY_AS(const Json instance, read_object(client, object));
    const std::string status = text_member(instance, "status");
    if (status != "Stopped" && status != "Error" && !force) {
        return fail(
            Status::bad_request,
            fmt::format("Instance '{}' is {}; stop it first ('lxmgr stop {}') or delete it with --force",
                        name, status == "Frozen" ? "frozen" : "running", name));
    }
    if (status != "Stopped" && status != "Error") LX_TRY(stop_by_force(client, object));
    if (member(instance, "ephemeral") == true && status != "Stopped")
        return {};  // stopping it has deleted it
    auto done = client.call("DELETE", object.path, nullptr, {fmt::format("Deleting {}", name)});
    if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    return {};
}

Result<int> run_delete(Client& client, const Args& args) {
    int status = 0;
    for (const auto& name : args.list("INSTANCE")) {
        const auto slash = name.find('/');
        const Result<> done = slash == std::string::npos
                                  ? delete_instance(client, name, args.flag("force"))
                                  : delete_snapshot(client, name.substr(0, slash), name.substr(slash + 1));
        if (!done && done.error().status == Status::unavailable) return std::unexpected(done.error());
        if (done) continue;
        print_error(done.error().message);
        status = 1;
    }
    return status;
}

constexpr Operand kDeleteOperands[] = {{"INSTANCE", Count::some, Kind::instance}};
constexpr Option kDeleteOptions[] = {{"-f,--force", "", "stop running instances by force first"}};
const Command kDeleteCommands[] = {
    {"delete", "Delete instances and snapshots", kDeleteOperands, kDeleteOptions,
     "INSTANCE/SNAPSHOT names a snapshot.", "delete dev\ndelete --force web db\ndelete dev/before-upgrade",
     run_delete, false, "rm"},
};

}  // namespace

std::span<const Command> delete_commands() { return kDeleteCommands; }

}  // namespace lxmgr::cli
