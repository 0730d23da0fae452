// config: keys of an instance, or of the server when no instance is named.
#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/device.h"
#include "lxmgr/table.h"

namespace lxmgr::cli {
namespace {

Object object_named(const std::string& name) {
    return name.empty() ? server_object() : instance_object(name);
}

/// "[INSTANCE] KEY": the server's key when there is one word only.
Result<int> run_config_get(Client& client, const Args& args) {
    const auto& words = args.list("[INSTANCE] KEY");
    if (words.size() > 2) return misuse(args, "Give an instance and one key, or one key of the server");
    const Object object = object_named(words.size() == 2 ? words[0] : "");
    LX_TRY(print_config(client, object, words.back(), args.flag("expanded")));
    return 0;
}

Result<int> run_config_set(Client& client, const Args& args) {
    auto words = args.list("[INSTANCE] KEY=VALUE");
    std::string instance;
    const bool server = words.front().contains('=') ||
                        (words.size() == 2 && words.front().contains('.') && !words[1].contains('='));
    if (!server) {
        instance = words.front();
        words.erase(words.begin());
    }
    const auto settings = parse_settings(words);
    if (!settings) return misuse(args, settings.error().message);
    LX_TRY(set_config(client, object_named(instance), *settings));
    return 0;
}

Result<int> run_config_unset(Client& client, const Args& args) {
    const auto& words = args.list("[INSTANCE] KEY");
    if (words.size() > 2) return misuse(args, "Give an instance and one key, or one key of the server");
    LX_TRY(unset_config(client, object_named(words.size() == 2 ? words[0] : ""), words.back()));
    return 0;
}

Result<int> run_config_show(Client& client, const Args& args) {
    const Object object = object_named(args.text("INSTANCE"));
    LX_TRY_AS(const Json value, read_object(client, object));
    Json part = writable_part(object, value);
    if (args.flag("expanded")) {
        part["config"] = member(value, "expanded_config");
        part["devices"] = member(value, "expanded_devices");
    }
    print_object(Format::yaml, part);
    return 0;
}

Result<int> run_config_edit(Client& client, const Args& args) {
    LX_TRY(edit_object(client, object_named(args.text("INSTANCE"))));
    return 0;
}

template <Result<int> (*verb)(Client&, const Args&, ObjectOf)>
Result<int> on_instance(Client& client, const Args& args) {
    return verb(client, args, instance_object);
}

constexpr Operand kConfigKey[] = {{"[INSTANCE] KEY", Count::some, Kind::instance}};
constexpr Operand kConfigSettings[] = {{"[INSTANCE] KEY=VALUE", Count::some, Kind::instance}};
constexpr Operand kOptionalInstance[] = {{"INSTANCE", Count::optional, Kind::instance}};
constexpr Option kExpanded[] = {{"-e,--expanded", "", "with what the profiles give"}};
constexpr Option kConfigListOptions[] = {kFormatOption};

constexpr Operand kConfigName = {"NAME", Count::one, Kind::instance};
constexpr Operand kConfigDevice = {"DEVICE"};
constexpr Operand kPairs = {"KEY=VALUE", Count::any};
constexpr Operand kConfigNameOnly[] = {kConfigName};
constexpr Operand kAdd[] = {kConfigName, kConfigDevice, {"TYPE"}, kPairs};
constexpr Operand kRemove[] = {kConfigName, {"DEVICE", Count::some}};
constexpr Operand kConfigDeviceKey[] = {kConfigName, kConfigDevice, {"KEY"}};
constexpr Operand kConfigDeviceSet[] = {kConfigName, kConfigDevice, {"KEY=VALUE", Count::some}};
constexpr Operand kOverride[] = {kConfigName, kConfigDevice, kPairs};

const Command kConfigCommands[] = {
    {"config get", "Print a config key", kConfigKey, kExpanded, "Without INSTANCE it is a key of the server.",
     "config get dev limits.memory\nconfig get core.https_address", run_config_get},
    {"config set",
     "Set config keys",
     kConfigSettings,
     {},
     "Limits change at once, also on a running instance.",
     "config set dev limits.memory=2GiB limits.cpu=2\nconfig set core.https_address=:8443",
     run_config_set},
    {"config unset",
     "Remove a config key",
     kConfigKey,
     {},
     "",
     "config unset dev limits.memory",
     run_config_unset},
    {"config show", "Show the whole configuration", kOptionalInstance, kExpanded, "",
     "config show dev --expanded\nconfig show", run_config_show},
    {"config edit",
     "Edit the whole configuration",
     kOptionalInstance,
     {},
     "Opens $VISUAL, $EDITOR or vi; takes YAML from stdin when it is no terminal.",
     "config edit dev\nconfig edit dev < dev.yaml",
     run_config_edit},
    {"config device list", "List the devices of an instance", kConfigNameOnly, kConfigListOptions, "",
     "config device list dev", on_instance<device_list>, false, "ls"},
    {"config device show", "Show the devices of an instance", kConfigNameOnly, kExpanded, "",
     "config device show dev", on_instance<device_show>},
    {"config device add",
     "Add a device",
     kAdd,
     {},
     "",
     "config device add dev data disk source=/srv/data path=/data",
     on_instance<device_add>},
    {"config device remove",
     "Remove devices",
     kRemove,
     {},
     "",
     "config device remove dev data",
     on_instance<device_remove>,
     false,
     "rm"},
    {"config device get",
     "Print a key of a device",
     kConfigDeviceKey,
     {},
     "",
     "config device get dev root pool",
     on_instance<device_get>},
    {"config device set",
     "Set keys of a device",
     kConfigDeviceSet,
     {},
     "",
     "config device set dev data readonly=true",
     on_instance<device_set>},
    {"config device unset",
     "Remove a key of a device",
     kConfigDeviceKey,
     {},
     "",
     "config device unset dev data readonly",
     on_instance<device_unset>},
    {"config device override",
     "Give an instance its own copy of a profile's device",
     kOverride,
     {},
     "",
     "config device override dev root size=20GiB",
     on_instance<device_override>},
};

}  // namespace

std::span<const Command> config_commands() { return kConfigCommands; }

}  // namespace lxmgr::cli
