#include <fmt/format.h>

#include <cstdio>

#include "lxmgr/commands.h"
#include "lxmgr/editor.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"

namespace lxmgr::cli {
namespace {

Result<std::string> body_of(const Args& args) {
    if (args.text("data") == "-") return read_stdin();
    return args.text("data");
}

Result<int> print_raw(Client& client, const HttpRequest& request) {
    LX_TRY_AS(const auto response, client.http().send(request));
    LX_TRY_AS(const std::string body, response->read_all());
    std::fwrite(body.data(), 1, body.size(), stdout);
    return response->status() < 400 ? 0 : 1;
}

Result<int> run_query(Client& client, const Args& args) {
    const std::string& path = args.text("PATH");
    if (!path.starts_with('/'))
        return misuse(args, fmt::format("'{}' is no path: it must begin with '/'", path));
    LX_TRY_AS(std::string body, body_of(args));
    HttpRequest request{
        .method = args.text("request"), .target = path, .headers = {}, .body = std::move(body)};
    if (!request.body.empty()) request.headers.emplace_back("Content-Type", "application/json");
    if (args.flag("raw")) return print_raw(client, request);
    LX_TRY_AS(const Answer answer, client.send(std::move(request)));
    Json value = answer.metadata;
    if (args.flag("wait")) {
        LX_TRY_AS(value, client.finish(answer, {"Waiting for " + last_segment(answer.operation)}));
    }
    if (value.is_string()) {
        fmt::print("{}\n", value.get<std::string>());
    } else if (!value.is_null()) {
        print_object(Format::json, value);
    }
    return 0;
}

constexpr Operand kQueryOperands[] = {{"PATH"}};
constexpr Option kQueryOptions[] = {
    {"-X,--request", "METHOD", "GET, PUT, POST, PATCH or DELETE", false, "", "GET"},
    {"-d,--data", "JSON", "body of the request; '-' reads it from stdin"},
    {"--wait", "", "wait for the operation that the answer names"},
    {"--raw", "", "print the whole answer as it came"},
};
const Command kQueryCommands[] = {
    {"query", "Send a request to the API", kQueryOperands, kQueryOptions, "",
     "query /1.0/instances?recursion=1\n"
     "query -X PUT --wait -d '{\"action\": \"start\"}' /1.0/instances/dev/state",
     run_query},
};

}  // namespace

std::span<const Command> query_commands() { return kQueryCommands; }

}  // namespace lxmgr::cli
