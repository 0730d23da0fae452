// storage volume ...: custom volumes and what uses them.
#include <fmt/format.h>

#include <optional>

#include "lxmgr/between_servers.h"
#include "lxmgr/client.h"
#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

constexpr const char* kVolumeNever = "0001-01-01T00:00:00Z";

Object volume_of(const Args& args) { return volume_object(args.text("POOL"), args.text("VOLUME")); }

std::string list_path(const std::string& pool) {
    return api_path({"storage-pools", pool, "volumes", "custom"});
}

Result<int> run_volume_list(Client& client, const Args& args) {
    auto read = client.get(api_path({"storage-pools", args.text("POOL"), "volumes"}) + "?recursion=1");
    if (!read)
        return std::unexpected(
            explain(pool_object(args.text("POOL")), "Listing the volumes of", std::move(read).error()));
    Json shown = Json::array();
    Table table{{"TYPE", "NAME", "DESCRIPTION", "CONTENT", "USED BY"}, {}};
    for (const auto& volume : *read) {
        if (!args.flag("all") && text_member(volume, "type") != "custom") continue;
        shown.push_back(volume);
        table.rows.push_back({text_member(volume, "type"), text_member(volume, "name"),
                              text_member(volume, "description"), text_member(volume, "content_type"),
                              std::to_string(member(volume, "used_by").size())});
    }
    print_list(format_of(args.text("format")), table, shown);
    return 0;
}

Result<int> run_volume_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json volume, read_object(client, volume_of(args)));
    print_object(Format::yaml, volume);
    return 0;
}

Result<int> run_volume_info(Client& client, const Args& args) {
    const Object object = volume_of(args);
    LX_TRY_AS(const Json volume, read_object(client, object));
    LX_TRY_AS(const Json state, client.get(object.path + "/state"));
    LX_TRY_AS(const Json snapshots, client.get(object.path + "/snapshots?recursion=1"));
    const Json& used = member(member(state, "usage"), "used");
    fmt::print("Name: {}\nPool: {}\nContent: {}\nCreated: {}\nSpace used: {}\n", object.name,
               args.text("POOL"), text_member(volume, "content_type"), text_member(volume, "created_at"),
               used.is_number_unsigned() ? human_bytes(used.get<std::uint64_t>()) : std::string("unknown"));
    for (const auto& user : member(volume, "used_by")) fmt::print("Used by: {}\n", user.get<std::string>());
    for (const auto& snapshot : snapshots) {
        const std::string name = text_member(snapshot, "name");
        const std::string expires = text_member(snapshot, "expires_at");
        fmt::print("Snapshot: {} ({}{})\n", name.substr(name.find('/') + 1),
                   text_member(snapshot, "created_at"),
                   expires == kVolumeNever ? "" : ", expires " + expires);
    }
    return 0;
}

Result<int> run_volume_create(Client& client, const Args& args) {
    const auto pairs = parse_pairs(args.list("KEY=VALUE"));
    if (!pairs) return misuse(args, pairs.error().message);
    Json config = Json::object();
    for (const auto& [key, value] : *pairs) config[key] = value;
    const Object object = volume_of(args);
    const Json body = {{"name", object.name},
                       {"type", "custom"},
                       {"content_type", "filesystem"},
                       {"description", args.text("description")},
                       {"config", std::move(config)}};
    auto done = client.call("POST", list_path(args.text("POOL")), body, {"Creating volume " + object.name});
    // A 404 is of the pool.
    if (!done)
        return std::unexpected(
            explain(pool_object(args.text("POOL")), "Creating a volume in", std::move(done).error()));
    return 0;
}

Result<int> run_volume_delete(Client& client, const Args& args) {
    for (const auto& name : args.list("VOLUME")) {
        const Object object = volume_object(args.text("POOL"), name);
        auto done = client.call("DELETE", object.path, nullptr, {"Deleting volume " + name});
        if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    }
    return 0;
}

Result<int> run_volume_edit(Client& client, const Args& args) {
    LX_TRY(edit_object(client, volume_of(args)));
    return 0;
}

Result<int> run_volume_get(Client& client, const Args& args) {
    LX_TRY(print_config(client, volume_of(args), args.text("KEY"), false));
    return 0;
}

Result<int> run_volume_set(Client& client, const Args& args) {
    const auto settings = parse_settings(args.list("KEY=VALUE"));
    if (!settings) return misuse(args, settings.error().message);
    LX_TRY(set_config(client, volume_of(args), *settings));
    return 0;
}

Result<int> run_volume_unset(Client& client, const Args& args) {
    LX_TRY(unset_config(client, volume_of(args), args.text("KEY")));
    return 0;
}

Result<int> run_volume_rename(Client& client, const Args& args) {
    const Object object = volume_of(args);
    auto done =
        client.call("POST", object.path, {{"name", args.text("NEW-NAME")}}, {"Renaming " + object.name});
    if (!done) return std::unexpected(explain(object, "Renaming", std::move(done).error()));
    return 0;
}

/// "POOL/VOLUME" or "POOL/VOLUME/SNAPSHOT" as {pool, the rest}.
Result<std::pair<std::string, std::string>> parse_place(const std::string& text) {
    const auto slash = text.find('/');
    if (slash == 0 || slash == std::string::npos || slash + 1 == text.size())
        return fail(Status::bad_request, fmt::format("'{}' must be POOL/VOLUME", text));
    return std::pair(text.substr(0, slash), text.substr(slash + 1));
}

/// Null: both are at one server. Else its outcome.
std::optional<Result<int>> between_servers(Client& client, const Args& args, bool move) {
    if (!is_between_servers(args)) return std::nullopt;
    const auto from = parse_place(args.text("POOL/VOLUME"));
    if (!from) return misuse(args, from.error().message);
    return copy_volume_between_servers(client, args, {from->first, from->second}, move);
}

Result<int> run_volume_copy(Client& client, const Args& args) {
    if (auto done = between_servers(client, args, false)) return *done;
    const auto from = parse_place(args.text("POOL/VOLUME")),
               to = parse_place(args.text("NEW-POOL/NEW-VOLUME"));
    for (const auto& place : {from, to}) {
        if (!place) return misuse(args, place.error().message);
    }
    const Object source = volume_object(from->first, from->second);
    Json body = {{"name", to->second},
                 {"type", "custom"},
                 {"source",
                  {{"type", "copy"},
                   {"name", from->second},
                   {"pool", from->first},
                   {"volume_only", args.flag("volume-only")},
                   {"refresh", args.flag("refresh")}}}};
    std::string path = list_path(to->first);
    if (args.given("target-project")) {
        const std::string& own = client.server().project;
        body["source"]["project"] = own.empty() ? "default" : own;
        path += "?project=" + encode(args.text("target-project"));
    }
    auto done = client.call("POST", path, body, {"Copying volume " + from->second});
    if (!done) return std::unexpected(explain(source, "Copying", std::move(done).error()));
    return 0;
}

Result<int> run_volume_move(Client& client, const Args& args) {
    if (auto done = between_servers(client, args, true)) return *done;
    const auto from = parse_place(args.text("POOL/VOLUME")),
               to = parse_place(args.text("NEW-POOL/NEW-VOLUME"));
    for (const auto& place : {from, to}) {
        if (!place) return misuse(args, place.error().message);
    }
    const Object object = volume_object(from->first, from->second);
    Json body = {{"name", to->second}};
    if (args.given("target-project")) body["project"] = args.text("target-project");
    if (to->first != from->first || args.given("target-project")) {
        body["pool"] = to->first;
        body["volume_only"] = args.flag("volume-only");
    } else if (args.flag("volume-only")) {
        return misuse(args, "--volume-only needs another pool: a new name keeps everything");
    }
    auto done = client.call("POST", object.path, body, {"Moving volume " + from->second});
    if (!done) return std::unexpected(explain(object, "Moving", std::move(done).error()));
    return 0;
}

Result<int> run_attach(Client& client, const Args& args) {
    const bool to_profile = args.flag("profile");
    const Object target =
        to_profile ? profile_object(args.text("INSTANCE")) : instance_object(args.text("INSTANCE"));
    const std::string& volume = args.text("VOLUME");
    const std::string device = args.given("device") ? args.text("device") : volume;
    LX_TRY(change_object(client, target, [&](Json& value) -> Result<> {
        if (!value["devices"].is_object()) value["devices"] = Json::object();
        if (value["devices"].contains(device))
            return fail(Status::conflict, fmt::format("There is a device '{}' on {} already: name another by "
                                                      "--device",
                                                      device, title(target)));
        Json keys = {
            {"type", "disk"}, {"pool", args.text("POOL")}, {"source", volume}, {"path", args.text("PATH")}};
        if (args.flag("readonly")) keys["readonly"] = "true";
        value["devices"][device] = std::move(keys);
        return {};
    }));
    return 0;
}

Result<int> run_detach(Client& client, const Args& args) {
    const Object target =
        args.flag("profile") ? profile_object(args.text("INSTANCE")) : instance_object(args.text("INSTANCE"));
    const std::string &pool = args.text("POOL"), &volume = args.text("VOLUME");
    LX_TRY(change_object(client, target, [&](Json& value) -> Result<> {
        std::vector<std::string> found;
        for (const auto& [name, keys] : member(value, "devices").items()) {
            if (text_member(keys, "pool") == pool && text_member(keys, "source") == volume)
                found.push_back(name);
        }
        if (found.empty())
            return fail(Status::not_found, fmt::format("Volume '{}' of pool '{}' is no device of {}", volume,
                                                       pool, title(target)));
        if (found.size() > 1)
            return fail(Status::bad_request,
                        fmt::format("Volume '{}' is more than one device of {}: use 'lxmgr config device "
                                    "remove'",
                                    volume, title(target)));
        value["devices"].erase(found.front());
        return {};
    }));
    return 0;
}

Result<int> run_volume_snapshot(Client& client, const Args& args) {
    const Object object = volume_of(args);
    Json body = {{"name", args.text("NAME")}};
    if (args.flag("no-expiry")) body["expires_at"] = kVolumeNever;
    auto done = client.call("POST", object.path + "/snapshots", body, {"Snapshotting " + object.name});
    if (!done) return std::unexpected(explain(object, "Snapshotting", std::move(done).error()));
    return 0;
}

Result<int> run_volume_restore(Client& client, const Args& args) {
    const Object object = volume_of(args);
    auto done =
        client.call("PUT", object.path, {{"restore", args.text("SNAPSHOT")}}, {"Restoring " + object.name});
    if (!done) return std::unexpected(explain(object, "Restoring", std::move(done).error()));
    return 0;
}

constexpr Operand kVolumePool = {"POOL", Count::one, Kind::pool};
constexpr Operand kList[] = {kVolumePool};
constexpr Operand kVolume[] = {kVolumePool, {"VOLUME"}};
constexpr Operand kVolumes[] = {kVolumePool, {"VOLUME", Count::some}};
constexpr Operand kVolumeCreate[] = {kVolumePool, {"VOLUME"}, {"KEY=VALUE", Count::any}};
constexpr Operand kVolumeKey[] = {kVolumePool, {"VOLUME"}, {"KEY"}};
constexpr Operand kVolumeSettings[] = {kVolumePool, {"VOLUME"}, {"KEY=VALUE", Count::some}};
constexpr Operand kRename[] = {kVolumePool, {"VOLUME"}, {"NEW-NAME"}};
constexpr Operand kPlaces[] = {{"POOL/VOLUME"}, {"NEW-POOL/NEW-VOLUME"}};
constexpr Operand kAttach[] = {kVolumePool, {"VOLUME"}, {"INSTANCE", Count::one, Kind::instance}, {"PATH"}};
constexpr Operand kDetach[] = {kVolumePool, {"VOLUME"}, {"INSTANCE", Count::one, Kind::instance}};
constexpr Operand kSnapshot[] = {kVolumePool, {"VOLUME"}, {"NAME", Count::optional}};
constexpr Operand kRestore[] = {kVolumePool, {"VOLUME"}, {"SNAPSHOT"}};
constexpr Option kVolumeListOptions[] = {{"-a,--all", "", "those of instances and images too"},
                                         kFormatOption};
constexpr Option kVolumeCreateOptions[] = {{"--description", "TEXT", "what it is for"}};
constexpr Option kVolumeOnly = {"--volume-only", "", "leave the snapshots out"};
constexpr Option kVolumeTargetProject = {"--target-project", "PROJECT", "make it a volume of this project"};
constexpr Option kVolumeCopyOptions[] = {
    kVolumeOnly, {"--refresh", "", "bring an existing copy up to date"}, kVolumeTargetProject, kTransferMode};
constexpr Option kVolumeMoveOptions[] = {kVolumeOnly, kVolumeTargetProject, kTransferMode};
constexpr Option kVolumeProfile = {"-p,--profile", "", "INSTANCE is the name of a profile"};
constexpr Option kAttachOptions[] = {{"--device", "NAME", "name of the device; else the volume's"},
                                     {"--readonly", "", "without write access"},
                                     kVolumeProfile};
constexpr Option kDetachOptions[] = {kVolumeProfile};
constexpr Option kVolumeSnapshotOptions[] = {{"--no-expiry", "", "keep it whatever snapshots.expiry says"}};
const Command kVolumeCommands[] = {
    {"storage volume list", "List the custom volumes of a pool", kList, kVolumeListOptions, "",
     "storage volume list default\nstorage volume list default --all", run_volume_list, false, "ls"},
    {"storage volume show",
     "Show a volume or VOLUME/SNAPSHOT",
     kVolume,
     {},
     "",
     "storage volume show default data",
     run_volume_show},
    {"storage volume info",
     "Show how much a volume holds, who uses it, and its snapshots",
     kVolume,
     {},
     "",
     "storage volume info default data",
     run_volume_info},
    {"storage volume create", "Create a volume", kVolumeCreate, kVolumeCreateOptions, "",
     "storage volume create default data\nstorage volume create default data snapshots.schedule=@daily",
     run_volume_create},
    {"storage volume delete",
     "Delete volumes or VOLUME/SNAPSHOTs",
     kVolumes,
     {},
     "",
     "storage volume delete default data\nstorage volume delete default data/snap0",
     run_volume_delete,
     false,
     "rm"},
    {"storage volume edit",
     "Edit a volume",
     kVolume,
     {},
     "",
     "storage volume edit default data",
     run_volume_edit},
    {"storage volume get",
     "Print a config key of a volume",
     kVolumeKey,
     {},
     "",
     "storage volume get default data snapshots.expiry",
     run_volume_get},
    {"storage volume set",
     "Set config keys of a volume",
     kVolumeSettings,
     {},
     "",
     "storage volume set default data snapshots.expiry=2w",
     run_volume_set},
    {"storage volume unset",
     "Remove a config key of a volume",
     kVolumeKey,
     {},
     "",
     "storage volume unset default data snapshots.expiry",
     run_volume_unset},
    {"storage volume rename",
     "Rename a volume or VOLUME/SNAPSHOT",
     kRename,
     {},
     "Devices that name the volume follow; no running instance may use it.",
     "storage volume rename default data files",
     run_volume_rename},
    {"storage volume copy", "Copy a volume or a snapshot of it", kPlaces, kVolumeCopyOptions,
     "Running instances that use the volume are frozen while it is read.\n"
     "REMOTE:POOL/VOLUME is at another server: an lxmgrd, or LXD.",
     "storage volume copy default/data default/data2\nstorage volume copy default/data/snap0 fast/old\n"
     "storage volume copy default/data lab:default/data",
     run_volume_copy, false, "cp"},
    {"storage volume move", "Move a volume to another pool, project, name or server", kPlaces,
     kVolumeMoveOptions,
     "Devices that name the volume follow; no running instance may use it.\n"
     "REMOTE:POOL/VOLUME is at another server: an lxmgrd, or LXD.",
     "storage volume move default/data fast/data\nstorage volume move default/data lab:default/data",
     run_volume_move, false, "mv"},
    {"storage volume attach", "Give a volume to an instance", kAttach, kAttachOptions,
     "Several instances may have it at the same time; a running one sees it at once.",
     "storage volume attach default data dev /srv\nstorage volume attach default data default /srv --profile",
     run_attach},
    {"storage volume detach", "Take a volume from an instance", kDetach, kDetachOptions, "",
     "storage volume detach default data dev", run_detach},
    {"storage volume snapshot", "Keep a volume as it is now", kSnapshot, kVolumeSnapshotOptions,
     "Running instances that use the volume are frozen while it is read. Without NAME, snapshots.pattern "
     "names "
     "the snapshot.",
     "storage volume snapshot default data before-upgrade", run_volume_snapshot},
    {"storage volume restore",
     "Make a volume as it was at a snapshot",
     kRestore,
     {},
     "No running instance may use it.",
     "storage volume restore default data before-upgrade",
     run_volume_restore},
};

}  // namespace

std::span<const Command> volume_commands() { return kVolumeCommands; }

}  // namespace lxmgr::cli
