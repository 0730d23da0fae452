// snapshot, restore, copy, move and rebuild: moments of instances, and instances made from them.
#include <fmt/format.h>

#include "lxmgr/between_servers.h"
#include "lxmgr/commands.h"
#include "lxmgr/images.h"
#include "lxmgr/object.h"
#include "lxmgr/options.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

constexpr const char* kSnapshotNever = "0001-01-01T00:00:00Z";

Result<int> run_snapshot(Client& client, const Args& args) {
    const Object object = instance_object(args.text("INSTANCE"));
    Json body = {{"name", args.text("NAME")}, {"stateful", false}};
    if (args.flag("no-expiry")) body["expires_at"] = kSnapshotNever;
    auto done =
        client.call("POST", object.path + "/snapshots", body, {fmt::format("Snapshotting {}", object.name)});
    if (!done) return std::unexpected(explain(object, "Snapshotting", std::move(done).error()));
    return 0;
}

Result<int> run_restore(Client& client, const Args& args) {
    const Object object = instance_object(args.text("INSTANCE"));
    const Json body = {{"restore", args.text("SNAPSHOT")}};
    auto done = client.call("PUT", object.path, body, {fmt::format("Restoring {}", object.name)});
    if (!done) return std::unexpected(explain(object, "Restoring", std::move(done).error()));
    return 0;
}

/// The root disk as the source has it, in another pool.
Result<Json> devices_in(Client& client, const Object& source, const std::string& pool) {
    LX_TRY_AS(const Json instance, read_object(client, source));
    Json devices = Json::object();
    for (const auto& [name, device] : member(instance, "expanded_devices").items()) {
        if (text_member(device, "type") != "disk" || text_member(device, "path") != "/") continue;
        devices[name] = device;
        devices[name]["pool"] = pool;
    }
    return devices;
}

Result<int> run_copy(Client& client, const Args& args) {
    const std::string& from = args.text("INSTANCE");
    const std::string name = from.substr(0, from.find('/'));
    const Object source = instance_object(name);
    auto settings = parse_pairs(args.list("config"));
    if (!settings) return misuse(args, settings.error().message);
    Json config = Json::object();
    for (const auto& [key, value] : *settings) config[key] = value;
    if (is_between_servers(args)) return copy_between_servers(client, args, {std::move(config), false});
    LX_TRY_AS(const Json instance, read_object(client, source));
    Json body = {{"name", args.text("NEW-NAME")},
                 {"type", "container"},
                 {"config", std::move(config)},
                 {"description", member(instance, "description")},
                 {"ephemeral", args.flag("ephemeral")},
                 {"source",
                  {{"type", "copy"},
                   {"source", from},
                   {"instance_only", args.flag("instance-only")},
                   {"refresh", args.flag("refresh")}}}};
    if (args.given("profile")) body["profiles"] = args.list("profile");
    if (args.given("storage")) {
        LX_TRY_AS(body["devices"], devices_in(client, source, args.text("storage")));
    }
    std::string path = "/1.0/instances";
    if (args.given("target-project")) {
        const std::string& own = client.server().project;
        body["source"]["project"] = own.empty() ? "default" : own;
        path += "?project=" + encode(args.text("target-project"));
    }
    auto done = client.call("POST", path, body, {fmt::format("Copying {}", from)});
    if (!done) return std::unexpected(explain(source, "Copying", std::move(done).error()));
    return 0;
}

Result<int> run_move(Client& client, const Args& args) {
    if (is_between_servers(args)) return copy_between_servers(client, args, {Json::object(), true});
    const Object object = instance_object(args.text("INSTANCE"));
    const std::string& name = args.given("NEW-NAME") ? args.text("NEW-NAME") : object.name;
    if (!args.given("NEW-NAME") && !args.given("storage") && !args.given("target-project"))
        return misuse(args,
                      "Give a new name, another pool (--storage) or another project (--target-project)");
    Json body = {{"name", name}};
    if (args.given("target-project")) {
        body["project"] = args.text("target-project");
        body["migration"] = true;
    }
    if (args.given("storage")) {
        body["pool"] = args.text("storage");
        body["migration"] = true;
        body["instance_only"] = args.flag("instance-only");
    } else if (args.flag("instance-only")) {
        return misuse(args, "--instance-only needs --storage: a new name keeps everything");
    }
    auto done = client.call("POST", object.path, body, {"Moving " + object.name});
    if (!done) return std::unexpected(explain(object, "Moving", std::move(done).error()));
    return 0;
}

Result<int> run_rebuild(Client& client, const Args& args) {
    const Object object = instance_object(args.text("INSTANCE"));
    if (args.flag("empty") == args.given("IMAGE")) return misuse(args, "Give either an image or --empty");
    Json body = {{"source", {{"type", "none"}}}};
    if (!args.flag("empty")) {
        LX_TRY_AS(const std::string fingerprint, find_image(client, args.text("IMAGE")));
        body["source"] = {{"type", "image"}, {"fingerprint", fingerprint}};
    }
    auto done = client.call("POST", object.path + "/rebuild", body, {"Rebuilding " + object.name});
    if (!done) return std::unexpected(explain(object, "Rebuilding", std::move(done).error()));
    return 0;
}

constexpr Operand kSnapshotOperands[] = {{"INSTANCE", Count::one, Kind::instance}, {"NAME", Count::optional}};
constexpr Option kSnapshotSnapshotOptions[] = {{"--no-expiry", "", "keep it whatever snapshots.expiry says"}};
constexpr Operand kRestoreOperands[] = {{"INSTANCE", Count::one, Kind::instance}, {"SNAPSHOT"}};
constexpr Operand kCopyOperands[] = {{"INSTANCE", Count::one, Kind::instance}, {"NEW-NAME", Count::optional}};
constexpr Option kInstanceOnly = {"--instance-only", "", "leave the snapshots out"};
constexpr Option kSnapshotPool = {"-s,--storage", "POOL", "pool of the root disk"};
constexpr Option kTargetProject = {"--target-project", "PROJECT", "make it an instance of this project"};
constexpr Option kSnapshotCopyOptions[] = {
    {"-c,--config", "KEY=VALUE", "set a config key (may be repeated)", true},
    {"-e,--ephemeral", "", "delete the copy when it stops"},
    {"-p,--profile", "PROFILE", "apply this profile and not the source's (may be repeated)", true},
    kSnapshotPool,
    kInstanceOnly,
    {"--refresh", "", "bring an existing, stopped copy up to date"},
    kTargetProject,
    kTransferMode,
};
constexpr Option kSnapshotMoveOptions[] = {kSnapshotPool, kInstanceOnly, kTargetProject, kTransferMode};
constexpr Operand kRebuildOperands[] = {{"INSTANCE", Count::one, Kind::instance},
                                        {"IMAGE", Count::optional, Kind::image}};
constexpr Option kRebuildOptions[] = {{"--empty", "", "without an image"}};
const Command kSnapshotCommands[] = {
    {"snapshot", "Keep an instance as it is now", kSnapshotOperands, kSnapshotSnapshotOptions,
     "A running instance is frozen while it is read. Without NAME, snapshots.pattern names the snapshot.",
     "snapshot dev\nsnapshot dev before-upgrade", run_snapshot},
    {"restore",
     "Make an instance as it was at a snapshot",
     kRestoreOperands,
     {},
     "A running instance is stopped, and started again afterwards.",
     "restore dev before-upgrade",
     run_restore},
    {"copy", "Make an instance from another one or from a snapshot", kCopyOperands, kSnapshotCopyOptions,
     "INSTANCE/SNAPSHOT names a snapshot. The copy has its own name, MAC addresses and machine-id.\n"
     "REMOTE:NAME is at another server: an lxmgrd, or LXD.",
     "copy dev dev2\ncopy dev/before-upgrade old-dev\ncopy dev backup --refresh\ncopy dev lab:dev", run_copy,
     false, "cp"},
    {"move", "Move a stopped instance to another pool, project, name or server", kCopyOperands,
     kSnapshotMoveOptions, "REMOTE:NAME is at another server: an lxmgrd, or LXD.",
     "move dev old-dev\nmove dev --storage fast\nmove dev --target-project web\nmove dev lab:dev", run_move,
     false, "mv"},
    {"rebuild", "Put an image's files in place of an instance's", kRebuildOperands, kRebuildOptions,
     "What the instance held is lost; its config, devices and snapshots stay.",
     "rebuild dev debian/13\nrebuild dev --empty", run_rebuild},
};

}  // namespace

std::span<const Command> snapshot_commands() { return kSnapshotCommands; }

}  // namespace lxmgr::cli
