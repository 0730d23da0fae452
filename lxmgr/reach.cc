#include "lxmgr/reach.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

#include "lxmgr/choose_server.h"
#include "lxmgr/object.h"
#include "lxmgr/remotes.h"

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

/// Whether one server did not come through to the other one, so that another way may be tried.
bool is_out_of_reach(const Error& error) {
    // The words of lxmgrd, and of LXD.
    constexpr std::string_view kWords[] = {"cannot be reached", "is not found", "nable to connect",
                                           "dial tcp"};
    return std::ranges::any_of(kWords, [&](auto words) { return error.message.contains(words); });
}

}  // namespace

Result<> transfer(Client& source, Client& target, const std::string& mode, const Ways& ways) {
    if (mode == "relay") return ways.relay();
    LX_TRY_AS(const Reachable from, reachable(source));
    LX_TRY_AS(const Reachable to, reachable(target));
    Result<> done =
        fail(Status::bad_request,
             fmt::format("The {} cannot be reached by the other server: set core.https_address there",
                         mode == "push" ? "target" : "source"));
    const auto attempt = [&](const Reachable& server, const Ways::Step& step) {
        for (const auto& url : server.urls) {
            done = step(url, server.certificate);
            if (done || !is_out_of_reach(done.error())) return true;
        }
        return false;
    };
    if (mode != "push" && attempt(from, ways.pull)) return done;
    if (mode != "pull" && attempt(to, ways.push)) return done;
    return mode.empty() ? ways.relay() : done;
}

void cancel(Client& client, const std::string& operation) {
    [[maybe_unused]] const auto cancelled = client.send("DELETE", operation, nullptr);
}

std::string plain_url(const std::string& operation) { return operation.substr(0, operation.find('?')); }

std::string project_name(const Client& client) {
    const std::string& encoded = client.server().project;
    std::string out;
    for (std::size_t at = 0; at < encoded.size(); ++at) {
        unsigned byte = 0;
        const auto* digits = encoded.data() + at + 1;
        const bool whole = encoded[at] == '%' && at + 2 < encoded.size() &&
                           std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2;
        out += whole ? static_cast<char>(byte) : encoded[at];
        if (whole) at += 2;
    }
    return out;
}

Result<std::pair<Client, std::string>> place_there(const Args& args, const char* operand) {
    const std::string& there = args.text(operand);
    const auto colon = there.find(':');
    LX_TRY_AS(const auto remotes, Remotes::load());
    LX_TRY_AS(Server server, remotes.server(there.substr(0, colon)));
    server.project =
        args.given("target-project") ? encode(args.text("target-project")) : args.text(kProjectThere);
    return std::pair(Client(std::move(server)), there.substr(colon + 1));
}

}  // namespace lxmgr::cli
