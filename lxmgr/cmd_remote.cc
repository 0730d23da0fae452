// remote: the servers that the user has named.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/base/base64.h"
#include "lxd-daemon/base/strings.h"
#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/remotes.h"
#include "lxmgr/table.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

/// What a token says; no addresses: the text is none.
struct Token {
    std::string fingerprint;
    std::vector<std::string> addresses;
};

Token parse_token(const std::string& text) {
    Token out;
    const auto decoded = from_base64(text);
    if (!decoded) return out;
    const Json parsed = Json::parse(*decoded, nullptr, false);
    if (!parsed.is_object() || !member(parsed, "addresses").is_array()) return out;
    out.fingerprint = text_member(parsed, "fingerprint");
    for (const auto& address : parsed["addresses"]) {
        if (address.is_string()) out.addresses.push_back(address);
    }
    return out;
}

struct FoundServer {
    Server server;
    std::string certificate_pem;
};

/// The first of the token's addresses where its server answers.
Result<FoundServer> find_by_token(const Token& token) {
    Error last{Status::unavailable, "The token names no address of its server"};
    for (const auto& address : token.addresses) {
        auto server = parse_server(address);
        if (!server) continue;
        auto pem = fetch_certificate(*server);
        if (!pem) {
            last = std::move(pem).error();
            continue;
        }
        LX_TRY_AS(const auto certificate, auth::parse_certificate(*pem));
        if (certificate.fingerprint == token.fingerprint) return FoundServer{*server, *pem};
        last = {Status::forbidden, fmt::format("{} is not the server that the token is of", address)};
    }
    return std::unexpected(last);
}

Result<> confirm_certificate(const std::string& fingerprint, const Args& args) {
    if (args.flag("accept-certificate")) return {};
    if (!is_terminal(STDIN_FILENO)) {
        return fail(Status::bad_request,
                    fmt::format("The server's certificate is {}; say --accept-certificate when that is right",
                                fingerprint));
    }
    fmt::print("Fingerprint of the server's certificate: {}\nIs that right (yes or no)? ", fingerprint);
    std::fflush(stdout);
    std::string answer;
    std::getline(std::cin, answer);
    if (answer == "yes" || answer == "y") return {};
    return fail(Status::forbidden, "The certificate was not accepted");
}

/// Else the token's secret would go to whoever answers there.
Result<> check_token_is_of(const Token& token, const std::string& fingerprint) {
    if (token.fingerprint == fingerprint) return {};
    return fail(
        Status::forbidden,
        fmt::format("The token is of a server whose certificate is {}, but the one that answers has {}: "
                    "check the address, or get a new token there",
                    token.fingerprint, fingerprint));
}

Result<FoundServer> find_by_address(const std::string& address, const Args& args) {
    LX_TRY_AS(const Server server, parse_server(address));
    LX_TRY_AS(const std::string pem, fetch_certificate(server));
    LX_TRY_AS(const auto certificate, auth::parse_certificate(pem));
    // A token says which certificate its server has: then nobody needs to be asked.
    const Token token = parse_token(args.text("token"));
    LX_TRY(token.fingerprint.empty() ? confirm_certificate(certificate.fingerprint, args)
                                     : check_token_is_of(token, certificate.fingerprint));
    return FoundServer{server, pem};
}

Result<std::string> ask_for_secret(const Args& args) {
    if (args.given("password")) return args.text("password");
    if (!is_terminal(STDIN_FILENO)) {
        return fail(
            Status::forbidden,
            "The server does not know this client: give a token of 'lxmgr config trust add', or --password");
    }
    fmt::print("Token or password: ");
    std::fflush(stdout);
    std::string answer;
    {
        const char* typed = ::getpass("");
        if (typed != nullptr) answer = typed;
    }
    return answer;
}

/// Makes this client trusted, unless it is already.
Result<> join_server(const Server& server, const std::string& token, const Args& args) {
    Client client(server);
    LX_TRY_AS(const Json before, client.get("/1.0"));
    if (text_member(before, "auth") == "trusted") return {};
    std::string secret = token;
    if (secret.empty()) {
        LX_TRY_AS(secret, ask_for_secret(args));
    }
    if (const Token typed = parse_token(secret); !typed.fingerprint.empty())
        LX_TRY(check_token_is_of(typed, server.fingerprint));
    // LXD up to 5.21 wants a token as the password, Incus as the token.
    Json body{{"type", "client"}, {"password", secret}};
    if (!parse_token(secret).addresses.empty()) body = {{"password", secret}, {"trust_token", secret}};
    LX_TRY(client.call("POST", "/1.0/certificates", body));
    LX_TRY_AS(const Json after, client.get("/1.0"));
    if (text_member(after, "auth") == "trusted") return {};
    return fail(Status::forbidden, "The server does not trust this client");
}

Result<int> run_remote_add(Client&, const Args& args) {
    LX_TRY_AS(auto remotes, Remotes::load());
    const auto& name = args.text("NAME");
    if (remotes.knows(name))
        return fail(Status::conflict, fmt::format("There is a remote '{}' already", name));
    const auto& where = args.text("ADDRESS-OR-TOKEN");
    const Token token = parse_token(where);
    const bool by_token = !token.addresses.empty();
    LX_TRY_AS(FoundServer found, by_token ? find_by_token(token) : find_by_address(where, args));
    LX_TRY_AS(const auto certificate, auth::parse_certificate(found.certificate_pem));
    found.server.fingerprint = certificate.fingerprint;
    LX_TRY(use_client_certificate(found.server));
    LX_TRY(join_server(found.server, by_token ? where : args.text("token"), args));
    LX_TRY(remotes.add(name, found.server, found.certificate_pem));
    return 0;
}

Result<int> run_remote_list(Client&, const Args& args) {
    LX_TRY_AS(const auto remotes, Remotes::load());
    Table table{{"NAME", "ADDRESS", "DEFAULT"}, {}};
    Json objects = Json::array();
    const auto add = [&](const std::string& name, const std::string& address) {
        const bool chosen = name == remotes.chosen;
        table.rows.push_back({name, address, chosen ? "yes" : ""});
        objects.push_back({{"name", name}, {"address", address}, {"default", chosen}});
    };
    add(kLocal, "unix://" + default_socket_path());
    for (const auto& [name, address] : remotes.addresses) add(name, address);
    print_list(format_of(args.text("format")), table, objects);
    return 0;
}

Result<int> run_remote_switch(Client&, const Args& args) {
    LX_TRY_AS(auto remotes, Remotes::load());
    LX_TRY(remotes.server(args.text("NAME")));
    remotes.chosen = args.text("NAME");
    LX_TRY(remotes.save());
    return 0;
}

Result<int> run_remote_rename(Client&, const Args& args) {
    LX_TRY_AS(auto remotes, Remotes::load());
    LX_TRY(remotes.rename(args.text("NAME"), args.text("NEW-NAME")));
    return 0;
}

Result<int> run_remote_remove(Client&, const Args& args) {
    LX_TRY_AS(auto remotes, Remotes::load());
    LX_TRY(remotes.remove(args.text("NAME")));
    return 0;
}

Result<int> run_remote_default(Client&, const Args&) {
    LX_TRY_AS(const auto remotes, Remotes::load());
    fmt::print("{}\n", remotes.chosen);
    return 0;
}

constexpr Operand kRemoteAdd[] = {{"NAME"}, {"ADDRESS-OR-TOKEN"}};
constexpr Operand kRemoteName[] = {{"NAME"}};
constexpr Operand kTwoRemoteNames[] = {{"NAME"}, {"NEW-NAME"}};
constexpr Option kRemoteAddOptions[] = {
    {"--token", "TOKEN", "of 'config trust add' on the server, for an address that the token does not name"},
    {"--password", "PASSWORD", "the server's core.trust_password"},
    {"--accept-certificate", "", "take the server's certificate as it is"},
};
constexpr Option kRemoteListOptions[] = {kFormatOption};
const Command kRemoteCommands[] = {
    {"remote add", "Add a server, and make it trust this client", kRemoteAdd, kRemoteAddOptions,
     "A token of 'lxmgr config trust add' on the server says where the server is and what certificate it "
     "has. "
     "Without one, compare the fingerprint that is shown with 'lxmgr info' on the server.\n"
     "Then NAME: before a name means the object there, and NAME: alone the server.",
     "remote add lab eyJjbGllbnRfbmFtZSI6...\nremote add lab 192.0.2.1 --password secret", run_remote_add},
    {"remote list",
     "List the servers",
     {},
     kRemoteListOptions,
     "",
     "remote list",
     run_remote_list,
     false,
     "ls"},
    {"remote switch",
     "Use a server where none is named",
     kRemoteName,
     {},
     "",
     "remote switch lab",
     run_remote_switch},
    {"remote get-default",
     "Print the server that is used where none is named",
     {},
     {},
     "",
     "remote get-default",
     run_remote_default},
    {"remote rename",
     "Give a server another name",
     kTwoRemoteNames,
     {},
     "",
     "remote rename lab office",
     run_remote_rename},
    {"remote remove",
     "Forget a server",
     kRemoteName,
     {},
     "The server goes on trusting this client: 'lxmgr config trust remove' there ends that.",
     "remote remove lab",
     run_remote_remove,
     false,
     "rm"},
};

}  // namespace

std::span<const Command> remote_commands() { return kRemoteCommands; }

}  // namespace lxmgr::cli
