#include "lxmgr/choose_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "lxmgr/client.h"
#include "lxmgr/remotes.h"

namespace lxmgr::cli {
namespace {

/// These make something of one name under another: both must be at the same server.
constexpr std::string_view kTwoPlaces[] = {"launch", "init"};

bool needs_no_server(std::string_view path) { return path.starts_with("remote "); }

/// "lab" of "lab:dev", when there is a remote of that name: images have colons in their names, too.
std::string remote_of(const Remotes& remotes, const std::string& word) {
    const auto colon = word.find(':');
    if (colon == std::string::npos || colon == 0) return "";
    const auto name = word.substr(0, colon);
    return remotes.knows(name) ? name : "";
}

/// As the option says, else $LXMGR_PROJECT, else as the user has switched to.
std::string chosen_project(const Remotes& remotes, const std::string& remote, const GlobalOptions& global) {
    std::string project = global.project;
    if (const char* named = std::getenv("LXMGR_PROJECT"); project.empty() && named != nullptr)
        project = named;
    if (const auto kept = remotes.projects.find(remote); project.empty() && kept != remotes.projects.end())
        project = kept->second;
    return project == "default" ? "" : encode(project);
}

/// Commands from one place to another, which may be at two servers: what they call the places.
struct Places {
    std::string_view command;
    const char *from, *to;
    bool to_server = false;  ///< the second one is a server alone, else the default one
};
constexpr Places kBothPlaces[] = {
    {"copy", "INSTANCE", "NEW-NAME"},
    {"move", "INSTANCE", "NEW-NAME"},
    {"storage volume copy", "POOL/VOLUME", "NEW-POOL/NEW-VOLUME"},
    {"storage volume move", "POOL/VOLUME", "NEW-POOL/NEW-VOLUME"},
    {"image copy", "REMOTE:IMAGE", "TARGET:", true},
};

/// The other place keeps its remote where it is another one, and kProjectThere is the project that is
/// chosen there.
Result<Server> choose_source(Invocation& invocation, const Remotes& remotes, const Places& places) {
    auto& values = invocation.args.values;
    const std::string named = invocation.global.remote.empty() ? remotes.chosen : invocation.global.remote;
    const std::string& usual = places.to_server ? remotes.chosen : named;
    const auto place = [&](const char* operand) {
        auto& words = values[operand];
        std::string remote = words.empty() ? "" : remote_of(remotes, words.front());
        if (!remote.empty()) words.front().erase(0, remote.size() + 1);
        return remote.empty() ? usual : remote;
    };
    const std::string from = place(places.from);
    auto& there = values[places.to];
    const std::string to = places.to_server ? named : there.empty() ? from : place(places.to);
    if (to != from) {
        if (there.empty()) there.emplace_back();
        values[places.to].front().insert(0, to + ":");
        values[kProjectThere] = {chosen_project(remotes, to, invocation.global)};
    }
    LX_TRY_AS(Server server, remotes.server(from));
    server.remote = from;
    server.project = chosen_project(remotes, from, invocation.global);
    return server;
}

}  // namespace

Result<Server> choose_server(Invocation& invocation) {
    const std::string_view path = invocation.command->path;
    if (needs_no_server(path)) return Server(default_socket_path());
    LX_TRY_AS(const auto remotes, Remotes::load());
    for (const auto& places : kBothPlaces) {
        if (path == places.command) return choose_source(invocation, remotes, places);
    }
    std::set<std::string> named;
    if (!invocation.global.remote.empty()) named.insert(invocation.global.remote);
    bool has_plain_name = false;
    for (const auto& operand : invocation.command->operands) {
        if (operand.count == Count::rest || operand.kind == Kind::file) continue;
        for (auto& word : invocation.args.values[operand.name]) {
            const auto remote = remote_of(remotes, word);
            if (remote.empty()) {
                has_plain_name = true;
                continue;
            }
            named.insert(remote);
            word.erase(0, remote.size() + 1);
        }
    }
    const bool two_places = std::ranges::find(kTwoPlaces, path) != std::end(kTwoPlaces);
    if (two_places && has_plain_name && !named.empty()) named.insert(remotes.chosen);
    if (named.size() > 1) {
        return fail(Status::bad_request,
                    fmt::format("This would work at two servers, '{}' and '{}': name one", *named.begin(),
                                *std::next(named.begin())));
    }
    const std::string& remote = named.empty() ? remotes.chosen : *named.begin();
    LX_TRY_AS(Server server, remotes.server(remote));
    server.remote = remote;
    server.project = chosen_project(remotes, remote, invocation.global);
    return server;
}

}  // namespace lxmgr::cli
