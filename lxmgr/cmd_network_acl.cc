#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "lxmgr/commands.h"
#include "lxmgr/descriptors.h"
#include "lxmgr/object.h"
#include "lxmgr/table.h"

namespace lxmgr::cli {
namespace {

constexpr std::array kAclKeys{"config", "description", "ingress", "egress"};
constexpr std::array kRuleKeys{"action",   "state",       "description", "source",    "destination",
                               "protocol", "source_port", "icmp_type",   "icmp_code", "destination_port"};

Object acl_object(const std::string& name) {
    return {"network ACL", name, api_path({"network-acls", name}), "lxmgr network acl list", kAclKeys};
}

Result<int> run_acl_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json acls, client.get("/1.0/network-acls?recursion=1"));
    Table table{{"NAME", "DESCRIPTION", "INGRESS", "EGRESS", "USED BY"}, {}};
    for (const auto& acl : acls) {
        table.rows.push_back({text_member(acl, "name"), text_member(acl, "description"),
                              std::to_string(member(acl, "ingress").size()),
                              std::to_string(member(acl, "egress").size()),
                              std::to_string(member(acl, "used_by").size())});
    }
    print_list(format_of(args.text("format")), table, acls);
    return 0;
}

Result<int> run_acl_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json acl, read_object(client, acl_object(args.text("ACL"))));
    print_object(Format::yaml, acl);
    return 0;
}

Result<int> run_acl_log(Client& client, const Args& args) {
    const Object object = acl_object(args.text("ACL"));
    auto log = client.open({.method = "GET", .target = object.path + "/log", .headers = {}, .body = {}});
    if (!log) return std::unexpected(explain(object, "Reading the log of", std::move(log).error()));
    std::string buffer(std::size_t{64} << 10, '\0');
    for (;;) {
        LX_TRY_AS(const std::size_t n, (*log)->read(buffer));
        if (n == 0) return 0;
        if (!write_all(STDOUT_FILENO, std::string_view(buffer).substr(0, n))) return 1;
    }
}

Result<int> run_acl_create(Client& client, const Args& args) {
    const std::string& name = args.text("ACL");
    const Json body{{"name", name}, {"description", args.text("description")}};
    auto done = client.call("POST", "/1.0/network-acls", body, {"Creating network ACL " + name});
    if (!done) return std::unexpected(explain(acl_object(name), "Creating", std::move(done).error()));
    return 0;
}

Result<int> run_acl_edit(Client& client, const Args& args) {
    LX_TRY(edit_object(client, acl_object(args.text("ACL"))));
    return 0;
}

Result<int> run_acl_rename(Client& client, const Args& args) {
    const Object object = acl_object(args.text("ACL"));
    auto done =
        client.call("POST", object.path, {{"name", args.text("NEW-NAME")}}, {"Renaming " + title(object)});
    if (!done) return std::unexpected(explain(object, "Renaming", std::move(done).error()));
    return 0;
}

Result<int> run_acl_delete(Client& client, const Args& args) {
    for (const auto& name : args.list("ACL")) {
        const Object object = acl_object(name);
        auto done = client.call("DELETE", object.path, nullptr, {"Deleting " + title(object)});
        if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    }
    return 0;
}

/// KEY=VALUE pairs as a rule. Errors: one sentence.
Result<Json> rule_of(const Args& args) {
    LX_TRY_AS(const auto pairs, parse_pairs(args.list("KEY=VALUE")));
    Json rule = Json::object();
    for (const auto& [key, value] : pairs) {
        if (std::ranges::find(kRuleKeys, key) == kRuleKeys.end())
            return fail(Status::bad_request, fmt::format("A rule has no '{}'", key));
        rule[key] = value;
    }
    return rule;
}

Result<int> run_acl_rule_add(Client& client, const Args& args) {
    auto rule = rule_of(args);
    if (!rule) return misuse(args, rule.error().message);
    if (!rule->contains("action")) return misuse(args, "A rule needs an action: allow, reject or drop");
    if (!rule->contains("state")) (*rule)["state"] = "enabled";
    const auto add = [&](Json& acl) -> Result<> {
        acl[args.text("DIRECTION")].push_back(*rule);
        return {};
    };
    LX_TRY(change_object(client, acl_object(args.text("ACL")), add));
    return 0;
}

bool rule_matches(const Json& rule, const Json& wanted) {
    for (const auto& [key, value] : wanted.items()) {
        if (text_member(rule, key) != value) return false;
    }
    return true;
}

Result<int> run_acl_rule_remove(Client& client, const Args& args) {
    const auto wanted = rule_of(args);
    if (!wanted) return misuse(args, wanted.error().message);
    const auto remove = [&](Json& acl) -> Result<> {
        Json kept = Json::array();
        for (const Json& rule : member(acl, args.text("DIRECTION"))) {
            if (!rule_matches(rule, *wanted)) kept.push_back(rule);
        }
        const std::size_t gone = member(acl, args.text("DIRECTION")).size() - kept.size();
        if (gone == 0) return fail(Status::not_found, "No rule rule_matches");
        if (gone > 1 && !args.flag("force"))
            return fail(Status::bad_request,
                        fmt::format("{} rules match: say more of the rule, or --force to remove all", gone));
        acl[args.text("DIRECTION")] = std::move(kept);
        return {};
    };
    LX_TRY(change_object(client, acl_object(args.text("ACL")), remove));
    return 0;
}

constexpr Operand kAcl[] = {{"ACL"}};
constexpr Operand kAcls[] = {{"ACL", Count::some}};
constexpr Operand kAclRename[] = {{"ACL"}, {"NEW-NAME"}};
constexpr Operand kAclRule[] = {{"ACL"}, {"DIRECTION"}, {"KEY=VALUE", Count::some}};
constexpr Option kAclListOptions[] = {kFormatOption};
constexpr Option kAclCreateOptions[] = {{"--description", "TEXT", "what it is for"}};
constexpr Option kAclRemoveOptions[] = {{"-f,--force", "", "remove all rules that match"}};
const Command kAclCommands[] = {
    {"network acl list",
     "List network ACLs",
     {},
     kAclListOptions,
     "",
     "network acl list",
     run_acl_list,
     false,
     "ls"},
    {"network acl show", "Show a network ACL", kAcl, {}, "", "network acl show web", run_acl_show},
    {"network acl show-log",
     "Print what the logged rules of a network ACL saw",
     kAcl,
     {},
     "",
     "network acl show-log web",
     run_acl_log},
    {"network acl create", "Create a network ACL", kAcl, kAclCreateOptions,
     "It holds on a network once it is in the network's key security.acls.", "network acl create web",
     run_acl_create},
    {"network acl edit", "Edit a network ACL", kAcl, {}, "", "network acl edit web", run_acl_edit},
    {"network acl rename",
     "Rename a network ACL that no network uses",
     kAclRename,
     {},
     "",
     "network acl rename web http",
     run_acl_rename},
    {"network acl delete",
     "Delete network ACLs",
     kAcls,
     {},
     "",
     "network acl delete web",
     run_acl_delete,
     false,
     "rm"},
    {"network acl rule add",
     "Add a rule to a network ACL",
     kAclRule,
     {},
     "DIRECTION is ingress (to instances) or egress (from them). Keys: action (allow, reject, drop), source, "
     "destination, protocol, source_port, destination_port, icmp_type, icmp_code, description, and state "
     "(enabled, "
     "disabled, logged).",
     "network acl rule add web ingress action=allow protocol=tcp destination_port=80,443",
     run_acl_rule_add},
    {"network acl rule remove", "Remove a rule from a network ACL", kAclRule, kAclRemoveOptions,
     "The rule is the one that has all the values given.",
     "network acl rule remove web ingress destination_port=80,443", run_acl_rule_remove, false, "rm"},
};

}  // namespace

std::span<const Command> network_acl_commands() { return kAclCommands; }

}  // namespace lxmgr::cli
