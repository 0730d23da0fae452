// config trust: which clients the server trusts.
#include <fmt/format.h>

#include <array>

#include "lxd-daemon/base/base64.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

constexpr std::array kCertificateKeys{"name", "type", "restricted", "projects"};
constexpr std::size_t kFingerprintDigits = 12;

Object certificate_object(const std::string& fingerprint) {
    return {"certificate", fingerprint, api_path({"certificates", fingerprint}), "lxmgr config trust list",
            kCertificateKeys};
}

Json trust_fields_of(const Args& args) {
    Json projects = Json::array();
    if (args.given("projects")) projects = split(args.text("projects"), ',');
    return {{"name", args.text("name")},
            {"type", args.text("type")},
            {"restricted", args.flag("restricted")},
            {"projects", projects}};
}

/// The text that the new client is given, as lxc makes it.
Result<int> print_token(Client& client, Json fields) {
    fields["token"] = true;
    LX_TRY_AS(const Answer answer, client.send("POST", "/1.0/certificates", fields));
    const Json& data = member(answer.metadata, "metadata");
    const std::string expires = text_member(data, "expiresAt");
    const Json token{{"client_name", text_member(fields, "name")},
                     {"fingerprint", text_member(data, "fingerprint")},
                     {"addresses", member(data, "addresses")},
                     {"secret", text_member(data, "secret")},
                     {"expires_at", expires.empty() ? "0001-01-01T00:00:00Z" : expires}};
    if (member(data, "addresses").empty()) {
        warn(
            "the server has no address that others can reach yet: with this token give one, as in "
            "'lxmgr remote add NAME ADDRESS --token TOKEN'");
    }
    hint(
        "The new client runs 'lxmgr remote add NAME TOKEN' (or lxc, or incus). The token lets one client "
        "in:");
    fmt::print("{}\n", to_base64(token.dump()));
    return 0;
}

Result<int> run_trust_add(Client& client, const Args& args) {
    Json fields = trust_fields_of(args);
    const auto& path = args.text("FILE");
    if (path.empty()) {
        if (args.text("name").empty()) return misuse(args, "Give the new client a name: --name NAME");
        return print_token(client, std::move(fields));
    }
    LX_TRY_AS(const std::string pem, read_file(path, std::size_t{1} << 20));
    constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
    constexpr std::string_view kEnd = "-----END CERTIFICATE-----";
    const auto begin = pem.find(kBegin);
    const auto end = pem.find(kEnd, begin == std::string::npos ? 0 : begin);
    if (begin == std::string::npos || end == std::string::npos)
        return fail(Status::bad_request, fmt::format("'{}' holds no certificate in PEM", path));
    std::string encoded = pem.substr(begin + kBegin.size(), end - begin - kBegin.size());
    std::erase_if(encoded, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
    if (args.text("name").empty()) fields["name"] = path.substr(path.rfind('/') + 1);
    fields["certificate"] = encoded;
    LX_TRY(client.call("POST", "/1.0/certificates", fields));
    return 0;
}

Result<int> run_trust_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json certificates, client.get("/1.0/certificates?recursion=1"));
    Table table{{"NAME", "TYPE", "FINGERPRINT", "RESTRICTED", "PROJECTS"}, {}};
    for (const auto& certificate : certificates) {
        std::string projects;
        for (const auto& project : member(certificate, "projects"))
            projects += (projects.empty() ? "" : ", ") + project.get<std::string>();
        const bool restricted = member(certificate, "restricted") == true;
        table.rows.push_back({text_member(certificate, "name"), text_member(certificate, "type"),
                              text_member(certificate, "fingerprint").substr(0, kFingerprintDigits),
                              restricted ? "yes" : "no", projects});
    }
    print_list(format_of(args.text("format")), table, certificates);
    return 0;
}

Result<int> run_trust_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json shown, read_object(client, certificate_object(args.text("FINGERPRINT"))));
    print_object(Format::yaml, shown);
    return 0;
}

Result<int> run_trust_edit(Client& client, const Args& args) {
    LX_TRY(edit_object(client, certificate_object(args.text("FINGERPRINT"))));
    return 0;
}

Result<int> run_trust_remove(Client& client, const Args& args) {
    for (const auto& fingerprint : args.list("FINGERPRINT")) {
        const Object object = certificate_object(fingerprint);
        auto removed = client.call("DELETE", object.path, nullptr);
        if (!removed) return std::unexpected(explain(object, "Removing", std::move(removed).error()));
    }
    return 0;
}

/// Tokens that still wait for their client: operations of class token.
Result<Json> trust_tokens(Client& client) {
    LX_TRY_AS(const Json groups, client.get("/1.0/operations?recursion=1"));
    Json out = Json::array();
    for (const auto& operation : member(groups, "running")) {
        const Json& data = member(operation, "metadata");
        if (text_member(operation, "class") != "token" || !member(data, "request").is_object()) continue;
        out.push_back({{"name", text_member(data["request"], "name")},
                       {"expires_at", text_member(data, "expiresAt")},
                       {"operation", text_member(operation, "id")}});
    }
    return out;
}

Result<int> run_trust_list_tokens(Client& client, const Args& args) {
    LX_TRY_AS(const Json found, trust_tokens(client));
    Table table{{"NAME", "EXPIRES AT"}, {}};
    for (const auto& token : found)
        table.rows.push_back({text_member(token, "name"), text_member(token, "expires_at")});
    print_list(format_of(args.text("format")), table, found);
    return 0;
}

Result<int> run_trust_revoke_token(Client& client, const Args& args) {
    LX_TRY_AS(const Json found, trust_tokens(client));
    bool any = false;
    for (const auto& token : found) {
        if (text_member(token, "name") != args.text("NAME")) continue;
        any = true;
        LX_TRY(client.call("DELETE", api_path({"operations", text_member(token, "operation")}), nullptr));
    }
    if (any) return 0;
    return fail(
        Status::not_found,
        fmt::format("There is no token for '{}'; 'lxmgr config trust list-tokens' shows what there is",
                    args.text("NAME")));
}

constexpr Operand kCertificateFile[] = {{"FILE", Count::optional, Kind::file}};
constexpr Operand kOneFingerprint[] = {{"FINGERPRINT"}};
constexpr Operand kFingerprints[] = {{"FINGERPRINT", Count::some}};
constexpr Operand kTokenName[] = {{"NAME"}};
constexpr Option kTrustAddOptions[] = {
    {"--name", "NAME", "what the client is called in the list"},
    {"--type", "TYPE", "what it may do: client, or metrics", false, "client|metrics", "client"},
    {"--restricted", "", "hold it to the projects of --projects"},
    {"--projects", "NAMES", "with commas between"},
};
constexpr Option kTrustListOptions[] = {kFormatOption};
const Command kTrustCommands[] = {
    {"config trust add", "Let a client in: print a token for it, or add its certificate", kCertificateFile,
     kTrustAddOptions,
     "The token is used up by the first client that comes with it. It is lost when the daemon ends.",
     "config trust add --name laptop\nconfig trust add --name ci --restricted --projects default\n"
     "config trust add prometheus.crt --type metrics",
     run_trust_add},
    {"config trust list",
     "List the clients that are trusted",
     {},
     kTrustListOptions,
     "",
     "config trust list",
     run_trust_list,
     false,
     "ls"},
    {"config trust show",
     "Show a client's certificate",
     kOneFingerprint,
     {},
     "",
     "config trust show 1f0c9a7e2b4d",
     run_trust_show},
    {"config trust edit",
     "Change a client's name and what it may do",
     kOneFingerprint,
     {},
     "",
     "config trust edit 1f0c9a7e2b4d",
     run_trust_edit},
    {"config trust remove",
     "Trust clients no longer",
     kFingerprints,
     {},
     "Their connections end at once.",
     "config trust remove 1f0c9a7e2b4d",
     run_trust_remove,
     false,
     "rm"},
    {"config trust list-tokens",
     "List the tokens that wait for their client",
     {},
     kTrustListOptions,
     "",
     "config trust list-tokens",
     run_trust_list_tokens},
    {"config trust revoke-token",
     "Make a token worthless",
     kTokenName,
     {},
     "",
     "config trust revoke-token laptop",
     run_trust_revoke_token},
};

}  // namespace

std::span<const Command> trust_commands() { return kTrustCommands; }

}  // namespace lxmgr::cli
