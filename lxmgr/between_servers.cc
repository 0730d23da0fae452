#include "lxmgr/between_servers.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "lxmgr/object.h"
#include "lxmgr/options.h"
#include "lxmgr/remotes.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

/// How a server is reached by others.
struct Reachable {
    std::vector<std::string> urls;  ///< "https://HOST:PORT"
    std::string certificate;
};

Result<Reachable> reachable(Client& client) {
    LX_TRY_AS(const Json server, client.get("/1.0"));
    const Json& environment = member(server, "environment");
    Reachable out;
    out.certificate = text_member(environment, "certificate");
    if (!client.server().host.empty()) out.urls.push_back(address_of(client.server()));
    for (const auto& address : member(environment, "addresses")) {
        if (!address.is_string()) continue;
        const std::string url = "https://" + address.get<std::string>();
        if (std::ranges::find(out.urls, url) == out.urls.end()) out.urls.push_back(url);
    }
    return out;
}

/// What the two servers do for one copy.
class Transfer {
public:
    Transfer(Client& source, Client& target, std::string source_path, Json body, Json offer,
             std::string doing)
        : source_(source),
          target_(target),
          source_path_(std::move(source_path)),
          body_(std::move(body)),
          offer_(std::move(offer)),
          doing_(std::move(doing)) {}

    Result<> run() {
        LX_TRY_AS(const Reachable from, reachable(source_));
        LX_TRY_AS(const Reachable to, reachable(target_));
        if (from.urls.empty() && to.urls.empty())
            return fail(
                Status::bad_request,
                "Neither server can be reached by the other one: set core.https_address at one of them");
        Result<> done = fail(Status::unavailable, "The servers do not reach each other");
        for (const auto& url : from.urls) {
            done = pull(url, from.certificate);
            if (done || !is_out_of_reach(done.error())) return done;
        }
        for (const auto& url : to.urls) {
            done = push(url, to.certificate);
            if (done || !is_out_of_reach(done.error())) return done;
        }
        return done;
    }

private:
    static bool is_out_of_reach(const Error& error) {
        return error.message.contains("cannot be reached") || error.message.contains("is not found");
    }

    /// The target fetches it.
    Result<> pull(const std::string& url, const std::string& certificate) {
        LX_TRY_AS(const Answer offered, source_.send("POST", source_path_, offer_));
        body_["source"]["mode"] = "pull";
        body_["source"]["operation"] = url + offered.operation;
        body_["source"]["certificate"] = certificate;
        body_["source"]["secrets"] = member(offered.metadata, "metadata");
        auto asked = target_.send("POST", "/1.0/instances", body_);
        if (!asked) {
            cancel(source_, offered.operation);
            return std::unexpected(std::move(asked).error());
        }
        if (auto made = target_.wait(asked->operation, {doing_}); !made) {
            cancel(source_, offered.operation);
            return std::unexpected(std::move(made).error());
        }
        return {};
    }

    /// The source brings it.
    Result<> push(const std::string& url, const std::string& certificate) {
        body_["source"]["mode"] = "push";
        LX_TRY_AS(const Answer waiting, target_.send("POST", "/1.0/instances", body_));
        Json offer = offer_;
        offer["target"] = {{"operation", url + waiting.operation},
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

    static void cancel(Client& client, const std::string& operation) {
        [[maybe_unused]] const auto cancelled = client.send("DELETE", operation, nullptr);
    }

    Client& source_;
    Client& target_;
    std::string source_path_;
    Json body_, offer_;
    std::string doing_;
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

}  // namespace

bool is_between_servers(const Args& args) {
    return args.given("NEW-NAME") && args.text("NEW-NAME").contains(':');
}

Result<int> copy_between_servers(Client& source, const Args& args, const BetweenServers& wanted) {
    const std::string& from = args.text("INSTANCE");
    const Object object = instance_object(from);
    LX_TRY_AS(const Json instance, read_object(source, object));
    if (wanted.move && text_member(instance, "status") != "Stopped")
        return fail(Status::bad_request,
                    fmt::format("Instance '{}' runs: stop it before it is moved to another server", from));
    const std::string& there = args.text("NEW-NAME");
    const auto colon = there.find(':');
    std::string name = there.substr(colon + 1);
    if (name.empty()) name = from.substr(0, from.find('/'));
    LX_TRY_AS(const auto remotes, Remotes::load());
    LX_TRY_AS(Server server, remotes.server(there.substr(0, colon)));
    Client target(std::move(server));
    const Json offer{{"migration", true}, {"live", false}, {"instance_only", args.flag("instance-only")}};
    Transfer transfer(source, target, object.path, target_body(instance, args, wanted, name), offer,
                      fmt::format("{} {}", wanted.move ? "Moving" : "Copying", from));
    if (auto done = transfer.run(); !done)
        return std::unexpected(explain(object, wanted.move ? "Moving" : "Copying", std::move(done).error()));
    if (wanted.move) LX_TRY(source.call("DELETE", object.path, nullptr));
    return 0;
}

}  // namespace lxmgr::cli
