#include "lxmgr/between_servers.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "lxmgr/choose_server.h"
#include "lxmgr/object.h"
#include "lxmgr/options.h"
#include "lxmgr/reach.h"
#include "lxmgr/relay.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

/// What is asked of the two servers.
struct Requests {
    std::string source_path, target_path;
    Json offer;  ///< to the source
    Json body;   ///< to the target, which makes the object
    std::string doing;
    std::string mode;  ///< "pull", "push" or "relay"; empty: the first that works
};

/// What the two servers do for one copy.
class Transfer {
public:
    Transfer(Client& source, Client& target, Requests requests)
        : source_(source),
          target_(target),
          source_path_(std::move(requests.source_path)),
          target_path_(std::move(requests.target_path)),
          body_(std::move(requests.body)),
          offer_(std::move(requests.offer)),
          doing_(std::move(requests.doing)),
          mode_(std::move(requests.mode)) {}

    Result<> run() {
        return transfer(
            source_, target_, mode_,
            {.pull = [this](const auto& url, const auto& certificate) { return pull(url, certificate); },
             .push = [this](const auto& url, const auto& certificate) { return push(url, certificate); },
             .relay = [this] { return relay(); }});
    }

private:
    /// The target fetches it.
    Result<> pull(const std::string& url, const std::string& certificate) {
        LX_TRY_AS(const Answer offered, source_.send("POST", source_path_, offer_));
        body_["source"]["mode"] = "pull";
        body_["source"]["operation"] = url + plain_url(offered.operation);
        body_["source"]["certificate"] = certificate;
        body_["source"]["secrets"] = member(offered.metadata, "metadata");
        auto made = target_.call("POST", target_path_, body_, {doing_});
        if (made) return {};
        cancel(source_, offered.operation);
        return std::unexpected(std::move(made).error());
    }

    /// The source brings it.
    Result<> push(const std::string& url, const std::string& certificate) {
        body_["source"]["mode"] = "push";
        LX_TRY_AS(const Answer waiting, target_.send("POST", target_path_, body_));
        Json offer = offer_;
        offer["target"] = {{"operation", url + plain_url(waiting.operation)},
                           {"certificate", certificate},
                           {"secrets", member(waiting.metadata, "metadata")}};
        auto sent = source_.call("POST", source_path_, offer, {doing_});
        if (!sent) {
            cancel(target_, waiting.operation);
            return std::unexpected(std::move(sent).error());
        }
        LX_TRY(target_.wait(waiting.operation, {}));
        return {};
    }

    /// Both wait for whoever comes, and we come to both.
    Result<> relay() {
        LX_TRY_AS(const Answer offered, source_.send("POST", source_path_, offer_));
        body_["source"]["mode"] = "push";
        auto waiting = target_.send("POST", target_path_, body_);
        if (!waiting) {
            cancel(source_, offered.operation);
            return std::unexpected(std::move(waiting).error());
        }
        Relay relay;
        const auto end = [](Client& client, const Answer& operation, const char* name) {
            const std::string secret = text_member(member(operation.metadata, "metadata"), name);
            return Relay::End{client.server(), fmt::format("{}/websocket?secret={}",
                                                           plain_url(operation.operation), encode(secret))};
        };
        Result<> done;
        for (const char* name : {"control", "fs"}) {
            if (done) done = relay.join(end(source_, offered, name), end(target_, *waiting, name));
        }
        if (done) {
            auto made = target_.wait(waiting->operation, {doing_});
            if (!made) done = std::unexpected(std::move(made).error());
        }
        if (!done) {
            cancel(source_, offered.operation);
            cancel(target_, waiting->operation);
            return done;
        }
        LX_TRY(source_.wait(offered.operation, {}));
        return {};
    }

    Client& source_;
    Client& target_;
    std::string source_path_, target_path_;
    Json body_, offer_;
    std::string doing_, mode_;
};

/// The new instance as the target is to make it.
Json target_body(const Json& instance, const Args& args, const BetweenServers& wanted,
                 const std::string& name) {
    Json config = Json::object();
    for (const auto& [key, value] : member(instance, "config").items()) {
        if (wanted.move || !key.starts_with("volatile.") || key == "volatile.base_image") config[key] = value;
    }
    for (const auto& [key, value] : wanted.config.items()) config[key] = value;
    Json devices = member(instance, "devices");
    if (args.given("storage")) {
        for (const auto& [device, keys] : member(instance, "expanded_devices").items()) {
            if (text_member(keys, "type") != "disk" || text_member(keys, "path") != "/") continue;
            devices[device] = keys;
            devices[device]["pool"] = args.text("storage");
        }
    }
    Json body{{"name", name},
              {"type", "container"},
              {"architecture", member(instance, "architecture")},
              {"description", text_member(instance, "description")},
              {"ephemeral", wanted.move ? member(instance, "ephemeral") : Json(args.flag("ephemeral"))},
              {"config", std::move(config)},
              {"devices", std::move(devices)},
              {"profiles", member(instance, "profiles")}};
    if (!wanted.move && args.given("profile")) body["profiles"] = args.list("profile");
    body["source"] = {{"type", "migration"},
                      {"base-image", text_member(member(instance, "config"), "volatile.base_image")},
                      {"instance_only", args.flag("instance-only")},
                      {"refresh", !wanted.move && args.flag("refresh")}};
    return body;
}

std::string doing_of(bool move, const std::string& what) {
    return fmt::format("{} {}", move ? "Moving" : "Copying", what);
}

}  // namespace

bool is_between_servers(const Args& args) { return args.values.contains(kProjectThere); }

Result<int> copy_between_servers(Client& source, const Args& args, const BetweenServers& wanted) {
    const std::string& from = args.text("INSTANCE");
    const Object object = instance_object(from);
    LX_TRY_AS(const Json instance, read_object(source, object));
    if (wanted.move && text_member(instance, "status") != "Stopped")
        return fail(Status::bad_request,
                    fmt::format("Instance '{}' runs: stop it before it is moved to another server", from));
    LX_TRY_AS(auto there, place_there(args, "NEW-NAME"));
    auto& [target, name] = there;
    if (name.empty()) name = from.substr(0, from.find('/'));
    Requests requests{
        .source_path = object.path,
        .target_path = "/1.0/instances",
        .offer = {{"migration", true}, {"live", false}, {"instance_only", args.flag("instance-only")}},
        .body = target_body(instance, args, wanted, name),
        .doing = doing_of(wanted.move, from),
        .mode = args.text("mode")};
    if (auto done = Transfer(source, target, std::move(requests)).run(); !done)
        return std::unexpected(explain(object, wanted.move ? "Moving" : "Copying", std::move(done).error()));
    if (wanted.move) LX_TRY(source.call("DELETE", object.path, nullptr));
    return 0;
}

Result<int> copy_volume_between_servers(Client& source, const Args& args, const VolumePlace& from,
                                        bool move) {
    if (from.name.contains('/'))
        return misuse(args, "A snapshot of a volume goes to another server only with its volume");
    const Object object = volume_object(from.pool, from.name);
    LX_TRY_AS(const Json volume, read_object(source, object));
    if (move && !member(volume, "used_by").empty())
        return fail(Status::conflict,
                    fmt::format("Volume '{}' is in use: detach it before it is moved to another "
                                "server",
                                from.name));
    LX_TRY_AS(auto there, place_there(args, "NEW-POOL/NEW-VOLUME"));
    auto& [target, place] = there;
    const auto slash = place.find('/');
    const std::string pool = place.substr(0, slash);
    std::string name = slash == std::string::npos ? "" : place.substr(slash + 1);
    if (pool.empty() || name.contains('/'))
        return misuse(args, fmt::format("'{}' must be REMOTE:POOL or REMOTE:POOL/VOLUME",
                                        args.text("NEW-POOL/NEW-VOLUME")));
    if (name.empty()) name = from.name;
    const bool volume_only = args.flag("volume-only");
    Json config = Json::object();
    for (const auto& [key, value] : member(volume, "config").items()) {
        // Which ids its files have on disk is what the target must know.
        if (!key.starts_with("volatile.") || key == "volatile.idmap.last") config[key] = value;
    }
    Requests requests{.source_path = object.path,
                      .target_path = api_path({"storage-pools", pool, "volumes", "custom"}),
                      .offer = {{"name", from.name}, {"migration", true}, {"volume_only", volume_only}},
                      .body = {{"name", name},
                               {"type", "custom"},
                               {"content_type", text_member(volume, "content_type")},
                               {"description", text_member(volume, "description")},
                               {"config", std::move(config)},
                               {"source",
                                {{"type", "migration"},
                                 {"volume_only", volume_only},
                                 {"refresh", !move && args.flag("refresh")}}}},
                      .doing = doing_of(move, "volume " + from.name),
                      .mode = args.text("mode")};
    if (auto done = Transfer(source, target, std::move(requests)).run(); !done)
        return std::unexpected(explain(object, move ? "Moving" : "Copying", std::move(done).error()));
    if (move) LX_TRY(source.call("DELETE", object.path, nullptr));
    return 0;
}

}  // namespace lxmgr::cli
