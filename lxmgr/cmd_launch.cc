// launch, and init with an image: create_instance an instance. init without one sets the server up (setup.h).
#include <fmt/format.h>

#include "lxmgr/commands.h"
#include "lxmgr/images.h"
#include "lxmgr/object.h"
#include "lxmgr/options.h"
#include "lxmgr/setup.h"
#include "lxmgr/simplestreams_remotes.h"
#include "lxmgr/terminal.h"
#include "lxmgr/wait.h"

namespace lxmgr::cli {
namespace {

/// The image, made first when it is a distribution that we know and do not have.
Result<std::string> have_image(Client& client, const std::string& name) {
    auto found = find_image(client, name);
    if (found || found.error().status != Status::not_found || !is_well_known_distro(name)) return found;
    LX_TRY_AS(const DistroName distro, parse_distro(name));
    tell(fmt::format("There is no image '{}' yet: building it, once, from this machine's own apt mirror",
                     name));
    return build_and_import(client, distro, {}, name);
}

/// An image server's is fetched by the daemon.
Result<Json> image_source(Client& client, const std::string& name) {
    if (const auto remote = streams_image(name)) {
        if (remote->name.empty())
            return fail(
                Status::bad_request,
                fmt::format("'{}' names no image; 'lxmgr image list {}' shows what there is", name, name));
        return source_of(*remote);
    }
    LX_TRY_AS(const std::string fingerprint, have_image(client, name));
    return Json{{"type", "image"}, {"fingerprint", fingerprint}};
}

struct Wanted {
    Json body;
    std::vector<std::pair<std::string, Pairs>> device_changes;
};

/// What the words ask for, without the source. Errors are usage errors.
Result<Wanted> wanted_of(const Args& args) {
    Wanted wanted;
    Json config = Json::object();
    LX_TRY_AS(const Pairs settings, parse_pairs(args.list("config")));
    for (const auto& [key, value] : settings) config[key] = value;
    for (const auto& text : args.list("device")) {
        LX_TRY_AS(auto change, parse_device(text));
        wanted.device_changes.push_back(std::move(change));
    }
    if (args.flag("no-profiles") && args.given("profile")) {
        return fail(Status::bad_request, "--profile and --no-profiles exclude each other");
    }
    wanted.body = {{"name", args.text("NAME")},
                   {"config", std::move(config)},
                   {"devices", Json::object()},
                   {"ephemeral", args.flag("ephemeral")},
                   {"description", args.text("description")},
                   {"type", "container"}};
    if (args.flag("no-profiles")) wanted.body["profiles"] = Json::array();
    if (args.given("profile")) wanted.body["profiles"] = args.list("profile");
    return wanted;
}

/// Devices as the profiles give them, in which -s, -n and -d make changes.
Result<Json> profile_devices(Client& client, const Json& body) {
    Json devices = Json::object();
    const Json profiles = body.contains("profiles") ? body["profiles"] : Json::array({"default"});
    for (const auto& name : profiles) {
        LX_TRY_AS(const Json profile, read_object(client, profile_object(name.get<std::string>())));
        if (member(profile, "devices").is_object()) devices.update(profile["devices"]);
    }
    return devices;
}

Result<> add_devices(Client& client, const Args& args, Wanted& wanted) {
    if (!args.given("storage") && !args.given("network") && wanted.device_changes.empty()) return {};
    LX_TRY_AS(const Json inherited, profile_devices(client, wanted.body));
    Json& devices = wanted.body["devices"];
    const auto own = [&](const std::string& name, Json fresh) -> Json& {
        if (!devices.contains(name))
            devices[name] = inherited.contains(name) ? inherited[name] : std::move(fresh);
        return devices[name];
    };
    if (args.given("storage")) own("root", {{"type", "disk"}, {"path", "/"}})["pool"] = args.text("storage");
    if (args.given("network")) {
        devices["eth0"] = {{"type", "nic"}, {"name", "eth0"}, {"network", args.text("network")}};
    }
    for (const auto& [name, settings] : wanted.device_changes) {
        Json& device = own(name, Json::object());
        for (const auto& [key, value] : settings) device[key] = value;
    }
    return {};
}

/// A name may be left to the server; the operation says which it chose.
std::string created_name(const Json& operation, const std::string& asked) {
    if (!asked.empty()) return asked;
    const Json& resources = member(operation, "resources");
    const Json& instances = member(resources, "instances");
    return instances.is_array() && !instances.empty() && instances[0].is_string()
               ? last_segment(instances[0].get<std::string>())
               : "";
}

Result<std::string> create_instance(Client& client, const Args& args, Wanted& wanted) {
    const std::string& name = args.text("NAME");
    LX_TRY(add_devices(client, args, wanted));
    if (args.flag("empty")) {
        wanted.body["source"] = {{"type", "none"}};
    } else {
        LX_TRY_AS(wanted.body["source"], image_source(client, args.text("IMAGE")));
    }
    tell(name.empty() ? std::string("Creating the instance") : fmt::format("Creating {}", name));
    auto operation = client.call("POST", "/1.0/instances", wanted.body, {"Creating " + name});
    if (operation) return created_name(*operation, name);
    if (operation.error().status == Status::unavailable) return std::unexpected(std::move(operation).error());
    const std::string doing =
        name.empty() ? "Creating an instance" : fmt::format("Creating instance '{}'", name);
    return std::unexpected(in(doing, std::move(operation).error()));
}

Result<int> run_launch(Client& client, const Args& args) {
    auto wanted = wanted_of(args);
    if (!wanted) return misuse(args, wanted.error().message);
    const auto wait = wait_of(args, args.text("wait"));
    if (!wait) return misuse(args, wait.error().message);
    LX_TRY_AS(const std::string name, create_instance(client, args, *wanted));
    tell(fmt::format("Starting {}", name));
    const Object object = instance_object(name);
    const Json body = {{"action", "start"}, {"timeout", -1}, {"force", false}, {"stateful", false}};
    auto started = client.call("PUT", object.path + "/state", body, {"Starting " + name});
    if (!started) return std::unexpected(explain(object, "Starting", std::move(started).error()));
    LX_TRY_AS(const std::string address, wait_for(client, object, *wait));
    if (!address.empty()) tell(address);
    hint(fmt::format("Instance '{}' is running. Open a shell in it with: lxmgr shell {}", name, name));
    return 0;
}

Result<int> run_launch_create(Client& client, const Args& args) {
    auto wanted = wanted_of(args);
    if (!wanted) return misuse(args, wanted.error().message);
    LX_TRY_AS(const std::string name, create_instance(client, args, *wanted));
    if (args.text("NAME").empty()) tell(name);
    hint(fmt::format("Instance '{}' is ready. Start it with: lxmgr start {}", name, name));
    return 0;
}

/// One word for two things, as users of LXD know them: `lxc init` makes an instance, `lxd init` sets the
/// server up.
Result<int> run_init(Client& client, const Args& args) {
    const bool instance = args.given("IMAGE") || args.flag("empty");
    const bool server = args.flag("auto") || args.flag("preseed") || args.flag("dump");
    if (instance && server)
        return misuse(args, "--auto, --preseed and --dump set up the server and take no image");
    if (instance && args.flag("empty") && args.given("NAME"))
        return misuse(args, "With --empty give a name only");
    if (!instance) return run_setup(client, args);
    if (!args.flag("empty")) return run_launch_create(client, args);
    Args named = args;
    named.values["NAME"] = args.list("IMAGE");
    return run_launch_create(client, named);
}

constexpr Operand kLaunchOperands[] = {{"IMAGE", Count::one, Kind::image}, {"NAME", Count::optional}};
constexpr Operand kInitOperands[] = {{"IMAGE", Count::optional, Kind::image}, {"NAME", Count::optional}};
constexpr Option kConfig = {"-c,--config", "KEY=VALUE", "set a config key (may be repeated)", true};
constexpr Option kLaunchDevice = {"-d,--device", "DEVICE,KEY=VALUE",
                                  "change a device of the profiles, or add one (may be repeated)", true};
constexpr Option kEphemeral = {"-e,--ephemeral", "", "delete the instance when it stops"};
constexpr Option kLaunchNetwork = {"-n,--network", "NETWORK", "network of eth0"};
constexpr Option kLaunchProfile = {"-p,--profile", "PROFILE",
                                   "apply this profile and not 'default' (may be repeated)", true};
constexpr Option kNoProfiles = {"--no-profiles", "", "apply no profile"};
constexpr Option kStorage = {"-s,--storage", "POOL", "pool of the root disk"};
constexpr Option kDescription = {"--description", "TEXT", "what it is for"};
constexpr Option kLaunchOptions[] = {kConfig,     kLaunchDevice, kEphemeral,   kLaunchNetwork, kLaunchProfile,
                                     kNoProfiles, kStorage,      kDescription, kWaitOption,    kWaitTimeout};
constexpr Option kLaunchInitOptions[] = {
    kConfig,        kLaunchDevice,  kEphemeral,
    kLaunchNetwork, kLaunchProfile, kNoProfiles,
    kStorage,       kDescription,   {"--empty", "", "make an instance without an image (give only its name)"},
    kSetupAuto,     kSetupPreseed,  kSetupDump,
    kSetupBackend,
};
const Command kLaunchCommands[] = {
    {"launch", "Create and start an instance", kLaunchOperands, kLaunchOptions,
     "IMAGE is an alias or a fingerprint. debian/12, debian/13 and debian/sid are built when there is no "
     "such image yet.\n"
     "images:, ubuntu:, ubuntu-daily: and ubuntu-minimal: are public image servers; the daemon fetches from "
     "them.\n"
     "Without NAME the server picks one.",
     "launch debian/12 dev\nlaunch images:fedora/42 fed\nlaunch ubuntu:24.04 web\n"
     "launch debian/12 db -c limits.memory=2GiB -c limits.cpu=2\n"
     "launch debian/12 web -d eth0,ipv4.address=10.10.10.20 -d root,size=10GiB\n"
     "launch debian/12 ci --wait ready",
     run_launch},
    {"init", "Create an instance, or set up the server", kInitOperands, kLaunchInitOptions,
     "With IMAGE: creates an instance and does not start it.\n"
     "Without: sets up the server, that is a storage pool, a network bridge and the default profile. It "
     "asks, or takes\n"
     "defaults (--auto), or LXD's preseed YAML on stdin (--preseed). Doing it again changes only what "
     "differs.",
     "init --auto\ninit --preseed < preseed.yaml\ninit debian/12 dev", run_init},
};

}  // namespace

std::span<const Command> launch_commands() { return kLaunchCommands; }

}  // namespace lxmgr::cli
