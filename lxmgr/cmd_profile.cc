#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "lxmgr/commands.h"
#include "lxmgr/device.h"
#include "lxmgr/editor.h"
#include "lxmgr/table.h"
#include "lxmgr/yaml.h"

namespace lxmgr::cli {
namespace {

Result<int> run_profile_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json profiles, client.get("/1.0/profiles?recursion=1"));
    Table table{{"NAME", "DESCRIPTION", "USED BY"}, {}};
    for (const auto& profile : profiles) {
        table.rows.push_back({text_member(profile, "name"), text_member(profile, "description"),
                              std::to_string(member(profile, "used_by").size())});
    }
    print_list(format_of(args.text("format")), table, profiles);
    return 0;
}

Result<int> run_profile_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json profile, read_object(client, profile_object(args.text("PROFILE"))));
    print_object(Format::yaml, profile);
    return 0;
}

Result<> create_profile(Client& client, const std::string& name, Json body) {
    body["name"] = name;
    auto done = client.call("POST", "/1.0/profiles", body);
    if (!done) return std::unexpected(explain(profile_object(name), "Creating", std::move(done).error()));
    return {};
}

/// Something that a YAML text may come from; not a terminal, /dev/null or what a service manager left there.
bool stdin_has_text() {
    struct stat status{};
    return ::fstat(STDIN_FILENO, &status) == 0 && (S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode));
}

Result<int> run_profile_create(Client& client, const Args& args) {
    Json body = {
        {"config", Json::object()}, {"devices", Json::object()}, {"description", args.text("description")}};
    if (stdin_has_text()) {
        LX_TRY_AS(const std::string text, read_stdin());
        LX_TRY_AS(const Json given, from_yaml(text));
        if (given.is_object()) body.update(given);
    }
    LX_TRY(create_profile(client, args.text("PROFILE"), std::move(body)));
    return 0;
}

Result<int> run_profile_delete(Client& client, const Args& args) {
    for (const auto& name : args.list("PROFILE")) {
        const Object object = profile_object(name);
        auto done = client.call("DELETE", object.path, nullptr);
        if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    }
    return 0;
}

Result<int> run_profile_edit(Client& client, const Args& args) {
    LX_TRY(edit_object(client, profile_object(args.text("PROFILE"))));
    return 0;
}

Result<int> run_profile_get(Client& client, const Args& args) {
    LX_TRY(print_config(client, profile_object(args.text("PROFILE")), args.text("KEY"), false));
    return 0;
}

Result<int> run_profile_set(Client& client, const Args& args) {
    const auto settings = parse_settings(args.list("KEY=VALUE"));
    if (!settings) return misuse(args, settings.error().message);
    LX_TRY(set_config(client, profile_object(args.text("PROFILE")), *settings));
    return 0;
}

Result<int> run_profile_unset(Client& client, const Args& args) {
    LX_TRY(unset_config(client, profile_object(args.text("PROFILE")), args.text("KEY")));
    return 0;
}

Result<int> run_profile_rename(Client& client, const Args& args) {
    const Object object = profile_object(args.text("PROFILE"));
    auto done = client.call("POST", object.path, Json{{"name", args.text("NEW-NAME")}});
    if (!done) return std::unexpected(explain(object, "Renaming", std::move(done).error()));
    return 0;
}

Result<int> run_profile_copy(Client& client, const Args& args) {
    const Object object = profile_object(args.text("PROFILE"));
    LX_TRY_AS(const Json profile, read_object(client, object));
    LX_TRY(create_profile(client, args.text("NEW-NAME"), writable_part(object, profile)));
    return 0;
}

Result<int> change_profiles(Client& client, const std::string& instance,
                            const std::function<Result<>(std::vector<std::string>&)>& change) {
    const auto replace = [&change](Json& value) -> Result<> {
        auto profiles = member(value, "profiles").is_array()
                            ? value["profiles"].get<std::vector<std::string>>()
                            : std::vector<std::string>();
        LX_TRY(change(profiles));
        value["profiles"] = profiles;
        return {};
    };
    LX_TRY(change_object(client, instance_object(instance), replace));
    return 0;
}

Result<int> run_add(Client& client, const Args& args) {
    return change_profiles(
        client, args.text("INSTANCE"), [&args](std::vector<std::string>& profiles) -> Result<> {
            for (const auto& name : args.list("PROFILE")) {
                if (std::ranges::find(profiles, name) != profiles.end()) {
                    return fail(Status::conflict, fmt::format("Instance '{}' has profile '{}' already",
                                                              args.text("INSTANCE"), name));
                }
                profiles.push_back(name);
            }
            return {};
        });
}

Result<int> run_remove(Client& client, const Args& args) {
    return change_profiles(
        client, args.text("INSTANCE"), [&args](std::vector<std::string>& profiles) -> Result<> {
            for (const auto& name : args.list("PROFILE")) {
                if (std::erase(profiles, name) == 0) {
                    return fail(Status::not_found, fmt::format("Instance '{}' has no profile '{}'",
                                                               args.text("INSTANCE"), name));
                }
            }
            return {};
        });
}

Result<int> run_assign(Client& client, const Args& args) {
    return change_profiles(client, args.text("INSTANCE"),
                           [&args](std::vector<std::string>& profiles) -> Result<> {
                               profiles = args.list("PROFILE");
                               return {};
                           });
}

template <Result<int> (*verb)(Client&, const Args&, ObjectOf)>
Result<int> on_profile(Client& client, const Args& args) {
    return verb(client, args, profile_object);
}

constexpr Operand kProfile = {"PROFILE", Count::one, Kind::profile};
constexpr Operand kProfileOnly[] = {kProfile};
constexpr Operand kProfileProfiles[] = {{"PROFILE", Count::some, Kind::profile}};
constexpr Operand kNew[] = {{"PROFILE"}};
constexpr Operand kTwoNames[] = {kProfile, {"NEW-NAME"}};
constexpr Operand kProfileKey[] = {kProfile, {"KEY"}};
constexpr Operand kProfileSettings[] = {kProfile, {"KEY=VALUE", Count::some}};
constexpr Operand kInstanceProfiles[] = {{"INSTANCE", Count::one, Kind::instance},
                                         {"PROFILE", Count::some, Kind::profile}};
constexpr Operand kAssign[] = {{"INSTANCE", Count::one, Kind::instance},
                               {"PROFILE", Count::any, Kind::profile}};
constexpr Option kProfileListOptions[] = {kFormatOption};
constexpr Option kProfileCreateOptions[] = {{"--description", "TEXT", "what it is for"}};
constexpr Operand kProfileName = {"NAME", Count::one, Kind::profile};
constexpr Operand kProfileNameOnly[] = {kProfileName};
constexpr Operand kDeviceAdd[] = {kProfileName, {"DEVICE"}, {"TYPE"}, {"KEY=VALUE", Count::any}};
constexpr Operand kDeviceRemove[] = {kProfileName, {"DEVICE", Count::some}};
constexpr Operand kProfileDeviceKey[] = {kProfileName, {"DEVICE"}, {"KEY"}};
constexpr Operand kProfileDeviceSet[] = {kProfileName, {"DEVICE"}, {"KEY=VALUE", Count::some}};

const Command kProfileCommands[] = {
    {"profile list",
     "List profiles",
     {},
     kProfileListOptions,
     "",
     "profile list",
     run_profile_list,
     false,
     "ls"},
    {"profile show", "Show a profile", kProfileOnly, {}, "", "profile show default", run_profile_show},
    {"profile create", "Create a profile", kNew, kProfileCreateOptions,
     "Takes YAML from stdin when that is a file or a pipe.",
     "profile create small\nprofile create small < small.yaml", run_profile_create},
    {"profile delete",
     "Delete profiles",
     kProfileProfiles,
     {},
     "",
     "profile delete small",
     run_profile_delete,
     false,
     "rm"},
    {"profile edit", "Edit a profile", kProfileOnly, {}, "", "profile edit default", run_profile_edit},
    {"profile get",
     "Print a config key of a profile",
     kProfileKey,
     {},
     "",
     "profile get small limits.memory",
     run_profile_get},
    {"profile set",
     "Set config keys of a profile",
     kProfileSettings,
     {},
     "",
     "profile set small limits.memory=256MiB",
     run_profile_set},
    {"profile unset",
     "Remove a config key of a profile",
     kProfileKey,
     {},
     "",
     "profile unset small limits.memory",
     run_profile_unset},
    {"profile rename",
     "Rename a profile",
     kTwoNames,
     {},
     "",
     "profile rename small tiny",
     run_profile_rename},
    {"profile copy", "Copy a profile", kTwoNames, {}, "", "profile copy default web", run_profile_copy},
    {"profile add",
     "Add profiles to an instance",
     kInstanceProfiles,
     {},
     "",
     "profile add dev small",
     run_add},
    {"profile remove",
     "Take profiles away from an instance",
     kInstanceProfiles,
     {},
     "",
     "profile remove dev small",
     run_remove},
    {"profile assign",
     "Replace the profiles of an instance",
     kAssign,
     {},
     "Later profiles win over earlier ones.",
     "profile assign dev default small",
     run_assign},
    {"profile device list", "List the devices of a profile", kProfileNameOnly, kProfileListOptions, "",
     "profile device list default", on_profile<device_list>, false, "ls"},
    {"profile device show",
     "Show the devices of a profile",
     kProfileNameOnly,
     {},
     "",
     "profile device show default",
     on_profile<device_show>},
    {"profile device add",
     "Add a device",
     kDeviceAdd,
     {},
     "",
     "profile device add default eth0 nic network=lxmgrbr0",
     on_profile<device_add>},
    {"profile device remove",
     "Remove devices",
     kDeviceRemove,
     {},
     "",
     "profile device remove default eth0",
     on_profile<device_remove>,
     false,
     "rm"},
    {"profile device get",
     "Print a key of a device",
     kProfileDeviceKey,
     {},
     "",
     "profile device get default root pool",
     on_profile<device_get>},
    {"profile device set",
     "Set keys of a device",
     kProfileDeviceSet,
     {},
     "",
     "profile device set default root size=20GiB",
     on_profile<device_set>},
    {"profile device unset",
     "Remove a key of a device",
     kProfileDeviceKey,
     {},
     "",
     "profile device unset default root size",
     on_profile<device_unset>},
};

}  // namespace

std::span<const Command> profile_commands() { return kProfileCommands; }

}  // namespace lxmgr::cli
