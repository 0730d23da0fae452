#include "lxmgr/reach.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "lxmgr/choose_server.h"
#include "lxmgr/object.h"
#include "lxmgr/remotes.h"

namespace lxmgr::cli {

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

bool is_out_of_reach(const Error& error) {
    // The words of lxmgrd, and of LXD.
    constexpr std::string_view kWords[] = {"cannot be reached", "is not found", "nable to connect",
                                           "dial tcp"};
    return std::ranges::any_of(kWords, [&](auto words) { return error.message.contains(words); });
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
