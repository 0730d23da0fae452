#include "lxmgr/setup.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "lxmgr/editor.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

constexpr const char* kSetupPool = "default";
constexpr const char* kBridge = "lxmgrbr0";

struct Collection {
    const char* path;
    Object (*object)(const std::string& name);
    const char* fixed;  ///< a field that cannot change once it exists; null: none
};
constexpr Collection kSetupPools{"/1.0/storage-pools", pool_object, "driver"};
constexpr Collection kSetupNetworks{"/1.0/networks", network_object, "type"};
constexpr Collection kSetupProfiles{"/1.0/profiles", profile_object, nullptr};

Result<> check_fixed(const Collection& kind, const Object& object, const Json& existing, const Json& wanted) {
    if (kind.fixed == nullptr || text_member(wanted, kind.fixed).empty()) return {};
    if (text_member(wanted, kind.fixed) == text_member(existing, kind.fixed)) return {};
    return fail(Status::conflict,
                fmt::format("The {} of {} is '{}' and cannot become '{}'", kind.fixed, title(object),
                            text_member(existing, kind.fixed), text_member(wanted, kind.fixed)));
}

Result<> create_setup(Client& client, const Collection& kind, const Object& object, const Json& wanted) {
    auto done = client.call("POST", kind.path, wanted, {"Creating " + title(object)});
    if (!done) return std::unexpected(explain(object, "Creating", std::move(done).error()));
    tell(fmt::format("Created {}", title(object)));
    return {};
}

Result<> ensure(Client& client, const Collection& kind, const Json& wanted) {
    const Object object = kind.object(text_member(wanted, "name"));
    auto existing = client.get(object.path);
    if (!existing && existing.error().status != Status::not_found) return std::unexpected(existing.error());
    // An interface of the host that has the name shows up as a network that is not managed.
    if (!existing || member(*existing, "managed") == false) return create_setup(client, kind, object, wanted);
    LX_TRY(check_fixed(kind, object, *existing, wanted));
    if (writable_part(object, merged(*existing, wanted)) == writable_part(object, *existing)) return {};
    LX_TRY(change_object(client, object, [&wanted](Json& value) -> Result<> {
        value = merged(value, wanted);
        return {};
    }));
    tell(fmt::format("Changed {}", title(object)));
    return {};
}

/// The best driver that the server says it has.
std::string default_driver(const Json& server) {
    const Json& drivers = member(member(server, "environment"), "storage_supported_drivers");
    for (const auto& driver : drivers) {
        if (text_member(driver, "Name") == "overlay") return "overlay";
    }
    return drivers.empty() ? "overlay" : "dir";
}

Json pool_entry(const std::string& name, const std::string& driver) {
    return {{"name", name}, {"driver", driver}, {"config", Json::object()}, {"description", ""}};
}

Json profile_entry(const std::string& pool, const std::string& bridge) {
    Json devices = {{"root", {{"type", "disk"}, {"path", "/"}, {"pool", pool}}}};
    if (!bridge.empty()) devices["eth0"] = {{"type", "nic"}, {"name", "eth0"}, {"network", bridge}};
    return {{"name", "default"}, {"devices", std::move(devices)}};
}

/// Only what is missing: a device that the default profile has keeps whatever pool or network it names.
Result<Preseed> default_setup(Client& client, const std::string& backend) {
    LX_TRY_AS(const Json server, client.get("/1.0"));
    LX_TRY_AS(const Json pools, client.get("/1.0/storage-pools?recursion=1"));
    LX_TRY_AS(const Json profile, client.get("/1.0/profiles/default"));
    Preseed preseed;
    std::string pool = kSetupPool;
    if (pools.empty()) {
        preseed.pools.push_back(pool_entry(kSetupPool, backend.empty() ? default_driver(server) : backend));
    } else if (!std::ranges::any_of(pools,
                                    [](const Json& p) { return text_member(p, "name") == kSetupPool; })) {
        pool = text_member(pools[0], "name");
    }
    Json wanted = profile_entry(pool, kBridge);
    for (const auto& [name, device] : member(profile, "devices").items()) wanted["devices"].erase(name);
    if (wanted["devices"].contains("eth0")) {
        preseed.networks.push_back(
            {{"name", kBridge}, {"type", "bridge"}, {"config", {{"ipv4.address", "auto"}}}});
    }
    if (!wanted["devices"].empty()) preseed.profiles.push_back(std::move(wanted));
    return preseed;
}

/// A question with a default; an end of input takes the default of this and all that follow.
std::string ask(const std::string& question, const std::string& fallback) {
    fmt::print("{} [{}]: ", question, fallback);
    std::fflush(stdout);
    std::string answer;
    if (!std::getline(std::cin, answer)) fmt::print("\n");
    return answer.empty() ? fallback : answer;
}

Result<Preseed> asked_setup(Client& client) {
    LX_TRY_AS(const Json server, client.get("/1.0"));
    Preseed preseed;
    const std::string pool = ask("Name of the storage pool", kSetupPool);
    const auto existing = client.get(pool_object(pool).path);
    if (!existing)
        preseed.pools.push_back(
            pool_entry(pool, ask("Driver of the pool (overlay or dir)", default_driver(server))));
    std::string bridge = ask("Name of the network bridge ('none' for no network)", kBridge);
    if (bridge == "none") bridge.clear();
    if (!bridge.empty() && !client.get(network_object(bridge).path)) {
        const Json config = {
            {"ipv4.address", ask("IPv4 address of the bridge (CIDR, auto or none)", "auto")},
            {"ipv6.address", ask("IPv6 address of the bridge (CIDR, auto or none)", "auto")}};
        preseed.networks.push_back({{"name", bridge}, {"type", "bridge"}, {"config", config}});
    }
    preseed.profiles.push_back(profile_entry(pool, bridge));
    return preseed;
}

/// The given members; of `config` only what an administrator sets.
Json only(const Json& object, std::initializer_list<const char*> keys) {
    Json part = Json::object();
    for (const char* key : keys) {
        if (object.contains(key)) part[key] = object[key];
    }
    Json config = Json::object();
    for (const auto& [key, value] : member(object, "config").items()) {
        if (!key.starts_with("volatile.")) config[key] = value;
    }
    if (part.contains("config")) part["config"] = std::move(config);
    return part;
}

Result<int> dump(Client& client) {
    LX_TRY_AS(const Json server, client.get("/1.0"));
    LX_TRY_AS(const Json pools, client.get("/1.0/storage-pools?recursion=1"));
    LX_TRY_AS(const Json networks, client.get("/1.0/networks?recursion=1"));
    LX_TRY_AS(const Json profiles, client.get("/1.0/profiles?recursion=1"));
    Json document = {{"config", member(server, "config")},
                     {"storage_pools", Json::array()},
                     {"networks", Json::array()},
                     {"profiles", Json::array()}};
    for (const auto& pool : pools)
        document["storage_pools"].push_back(only(pool, {"name", "driver", "config", "description"}));
    for (const auto& network : networks) {
        if (member(network, "managed") != true) continue;
        document["networks"].push_back(only(network, {"name", "type", "config", "description"}));
    }
    for (const auto& profile : profiles)
        document["profiles"].push_back(only(profile, {"name", "config", "devices", "description"}));
    print_object(Format::yaml, document);
    return 0;
}

Result<Preseed> wanted_setup(Client& client, const Args& args) {
    if (args.flag("auto")) return default_setup(client, args.text("storage-backend"));
    if (!args.flag("preseed")) return asked_setup(client);
    LX_TRY_AS(const std::string text, read_stdin());
    return parse_preseed(text);
}

}  // namespace

Result<> apply_preseed(Client& client, const Preseed& preseed) {
    if (!preseed.config.empty()) {
        LX_TRY(change_object(client, server_object(), [&preseed](Json& value) -> Result<> {
            value = merged(value, Json{{"config", preseed.config}});
            return {};
        }));
    }
    for (const auto& pool : preseed.pools) LX_TRY(ensure(client, kSetupPools, pool));
    for (const auto& network : preseed.networks) LX_TRY(ensure(client, kSetupNetworks, network));
    for (const auto& profile : preseed.profiles) LX_TRY(ensure(client, kSetupProfiles, profile));
    return {};
}

Result<int> run_setup(Client& client, const Args& args) {
    if (args.flag("dump")) return dump(client);
    if (args.flag("auto") && args.flag("preseed"))
        return misuse(args, "--auto and --preseed exclude each other");
    if (args.given("storage-backend") && !args.flag("auto"))
        return misuse(args, "--storage-backend goes with --auto");
    if (!args.flag("auto") && !args.flag("preseed") && !is_terminal(STDIN_FILENO)) {
        return misuse(
            args,
            "Without a terminal say --auto, --preseed, or which image to create_setup an instance from");
    }
    LX_TRY_AS(const Preseed preseed, wanted_setup(client, args));
    LX_TRY(apply_preseed(client, preseed));
    hint("The server is set up. Make the first instance with: lxmgr launch debian/12 dev");
    return 0;
}

}  // namespace lxmgr::cli
