#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

/// The certificate's name, else the user, else what the stranger showed.
std::string who_asked(const Json& requestor) {
    const auto certificate = text_member(requestor, "certificate");
    if (!certificate.empty()) return certificate;
    const auto username = text_member(requestor, "username");
    if (username.empty()) return "(stranger)";
    return text_member(requestor, "protocol") == "tls" ? username.substr(0, 12) : username;
}

std::string came_from(const Json& requestor) {
    return text_member(requestor, "protocol") == "unix" ? "unix" : text_member(requestor, "address");
}

std::string what_came(const Json& record) {
    const auto error = text_member(record, "error");
    const auto result = text_member(record, "result");
    return error.empty() ? result : result + ": " + error;
}

Result<int> run_history(Client& client, const Args& args) {
    std::string path = "/1.0/lxmgr/history?recursion=1&limit=" + encode(args.text("limit"));
    if (args.given("filter")) path += "&filter=" + encode(args.text("filter"));
    LX_TRY_AS(const Json records, client.get(path));
    Table table{{"TIME", "WHO", "FROM", "PROJECT", "REQUEST", "WHAT", "RESULT"}, {}};
    for (const auto& record : records) {
        const Json& requestor = member(record, "requestor");
        table.rows.push_back({human_time(text_member(record, "created_at")), who_asked(requestor),
                              came_from(requestor), text_member(record, "project"),
                              text_member(record, "method") + " " + text_member(record, "path"),
                              text_member(record, "description"), what_came(record)});
    }
    print_list(format_of(args.text("format")), table, records);
    return 0;
}

constexpr Option kHistoryOptions[] = {
    {"-n,--limit", "COUNT", "how many, the newest", false, "", "50"},
    {"--filter", "EXPRESSION", "only these, as in filter= of the API: 'result eq refused'"},
    kFormatOption};
const Command kHistoryCommands[] = {
    {"history",
     "Show who changed what, and who was refused",
     {},
     kHistoryOptions,
     "Every request that changes something is kept for 90 days, with who sent it, from where, and what came "
     "of it; what "
     "was in it is not.",
     "history\nhistory -n 500 --filter 'result eq refused'\nhistory --filter 'requestor.username eq root' -f "
     "json",
     run_history},
};

}  // namespace

std::span<const Command> history_commands() { return kHistoryCommands; }

}  // namespace lxmgr::cli
