#include "lxmgr/app.h"

#include <fmt/format.h>

#include <cstdio>

#include "lxmgr/choose_server.h"
#include "lxmgr/client.h"
#include "lxmgr/command.h"
#include "lxmgr/parse.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

const std::string kEmptyText;
const std::vector<std::string> kEmptyList;

int run(Invocation invocation) {
    set_quiet(invocation.global.quiet);
    auto server = choose_server(invocation);
    if (!server) {
        print_error(server.error().message);
        return 1;
    }
    Client client(*std::move(server));
    const Result<int> status = invocation.command->run(client, invocation.args);
    if (status) return *status;
    print_error(status.error().message);
    return 1;
}

}  // namespace

bool Args::flag(std::string_view option) const { return given(option); }

bool Args::given(std::string_view key) const { return !list(key).empty(); }

const std::string& Args::text(std::string_view key) const {
    const auto& all = list(key);
    return all.empty() ? kEmptyText : all.back();
}

const std::vector<std::string>& Args::list(std::string_view key) const {
    const auto at = values.find(key);
    return at == values.end() ? kEmptyList : at->second;
}

int misuse(const Args& args, std::string_view message) {
    print_error(message);
    fmt::print(stderr, "See 'lxmgr {} --help'\n", args.command);
    return 2;
}

int run_program(const std::vector<std::string>& arguments) {
    const auto parsed = parse(arguments);
    if (const auto* invocation = std::get_if<Invocation>(&parsed)) {
        const int status = run(*invocation);
        // A full disk or a closed pipe behind stdout is a failure that scripts must see.
        return std::fflush(stdout) == 0 || status != 0 ? status : 1;
    }
    const auto& message = std::get<Message>(parsed);
    std::fputs(message.text.c_str(), message.exit_status == 0 ? stdout : stderr);
    return message.exit_status;
}

}  // namespace lxmgr::cli
