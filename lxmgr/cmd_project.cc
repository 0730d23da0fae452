#include <fmt/format.h>

#include <algorithm>

#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/remotes.h"
#include "lxmgr/table.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

std::string current_project(const Client& client) {
    return client.server().project.empty() ? "default" : client.server().project;
}

Result<int> run_project_list(Client& client, const Args& args) {
    LX_TRY_AS(const Json projects, client.get("/1.0/projects?recursion=1"));
    Table table{{"NAME", "IMAGES", "PROFILES", "VOLUMES", "RESTRICTED", "DESCRIPTION", "USED BY"}, {}};
    for (const auto& project : projects) {
        const Json& config = member(project, "config");
        const auto has = [&config](const char* key) {
            return text_member(config, key) == "true" ? "YES" : "NO";
        };
        std::string name = text_member(project, "name");
        if (name == current_project(client)) name += " (current)";
        table.rows.push_back({name, has("features.images"), has("features.profiles"),
                              has("features.storage.volumes"), has("restricted"),
                              text_member(project, "description"),
                              std::to_string(member(project, "used_by").size())});
    }
    print_list(format_of(args.text("format")), table, projects);
    return 0;
}

Result<int> run_project_show(Client& client, const Args& args) {
    LX_TRY_AS(const Json project, read_object(client, project_object(args.text("PROJECT"))));
    print_object(Format::yaml, project);
    return 0;
}

Result<int> run_project_create(Client& client, const Args& args) {
    auto settings = parse_pairs(args.list("config"));
    if (!settings) return misuse(args, settings.error().message);
    Json config = Json::object();
    for (const auto& [key, value] : *settings) config[key] = value;
    const std::string& name = args.text("PROJECT");
    const Json body{{"name", name}, {"config", config}, {"description", args.text("description")}};
    auto done = client.call("POST", "/1.0/projects", body);
    if (!done) return std::unexpected(explain(project_object(name), "Creating", std::move(done).error()));
    return 0;
}

Result<int> run_project_delete(Client& client, const Args& args) {
    for (const auto& name : args.list("PROJECT")) {
        const Object object = project_object(name);
        auto done = client.call("DELETE", object.path, nullptr);
        if (!done) return std::unexpected(explain(object, "Deleting", std::move(done).error()));
    }
    return 0;
}

Result<int> run_project_edit(Client& client, const Args& args) {
    LX_TRY(edit_object(client, project_object(args.text("PROJECT"))));
    return 0;
}

Result<int> run_project_get(Client& client, const Args& args) {
    LX_TRY(print_config(client, project_object(args.text("PROJECT")), args.text("KEY"), false));
    return 0;
}

Result<int> run_project_set(Client& client, const Args& args) {
    const auto settings = parse_settings(args.list("KEY=VALUE"));
    if (!settings) return misuse(args, settings.error().message);
    LX_TRY(set_config(client, project_object(args.text("PROJECT")), *settings));
    return 0;
}

Result<int> run_project_unset(Client& client, const Args& args) {
    LX_TRY(unset_config(client, project_object(args.text("PROJECT")), args.text("KEY")));
    return 0;
}

Result<int> run_project_rename(Client& client, const Args& args) {
    const Object object = project_object(args.text("PROJECT"));
    auto done = client.call("POST", object.path, Json{{"name", args.text("NEW-NAME")}});
    if (!done) return std::unexpected(explain(object, "Renaming", std::move(done).error()));
    return 0;
}

/// The choice is this client's alone.
Result<int> run_project_switch(Client& client, const Args& args) {
    const std::string& name = args.text("PROJECT");
    LX_TRY(read_object(client, project_object(name)));
    LX_TRY_AS(auto remotes, Remotes::load());
    const std::string& remote = client.server().remote;
    remotes.projects.erase(remote);
    if (name != "default") remotes.projects[remote] = name;
    LX_TRY(remotes.save());
    return 0;
}

std::string amount(const std::string& resource, const Json& value) {
    const auto number = value.is_number_integer() ? value.get<std::int64_t>() : -1;
    if (number < 0) return "UNLIMITED";
    const bool bytes = resource == "memory" || resource == "disk" || resource.starts_with("disk.");
    return bytes ? human_bytes(static_cast<std::uint64_t>(number)) : std::to_string(number);
}

Result<int> run_project_info(Client& client, const Args& args) {
    Object object = project_object(args.text("PROJECT"));
    object.path += "/state";
    LX_TRY_AS(const Json state, read_object(client, object));
    Table table{{"RESOURCE", "LIMIT", "USAGE"}, {}};
    for (const auto& [resource, value] : member(state, "resources").items()) {
        std::string title = resource;
        std::ranges::transform(title, title.begin(),
                               [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
        table.rows.push_back(
            {title, amount(resource, member(value, "Limit")), amount(resource, member(value, "Usage"))});
    }
    print_list(format_of(args.text("format")), table, state);
    return 0;
}

constexpr Operand kProjectOnly[] = {{"PROJECT"}};
constexpr Operand kProjects[] = {{"PROJECT", Count::some}};
constexpr Operand kTwoProjectNames[] = {{"PROJECT"}, {"NEW-NAME"}};
constexpr Operand kProjectKey[] = {{"PROJECT"}, {"KEY"}};
constexpr Operand kProjectSettings[] = {{"PROJECT"}, {"KEY=VALUE", Count::some}};
constexpr Option kProjectListOptions[] = {kFormatOption};
constexpr Option kProjectCreateOptions[] = {
    {"-c,--config", "KEY=VALUE", "set a config key (may be repeated)", true},
    {"--description", "TEXT", "what it is for"},
};

const Command kProjectCommands[] = {
    {"project list",
     "List projects",
     {},
     kProjectListOptions,
     "",
     "project list",
     run_project_list,
     false,
     "ls"},
    {"project show", "Show a project", kProjectOnly, {}, "", "project show web", run_project_show},
    {"project create", "Create a project", kProjectOnly, kProjectCreateOptions,
     "It has images, profiles and custom volumes of its own, unless features.* say otherwise. Its profile "
     "'default' is empty: give that a root disk and a NIC.",
     "project create web\nproject create web -c limits.instances=5 -c features.images=false",
     run_project_create},
    {"project delete",
     "Delete empty projects",
     kProjects,
     {},
     "",
     "project delete web",
     run_project_delete,
     false,
     "rm"},
    {"project edit", "Edit a project", kProjectOnly, {}, "", "project edit web", run_project_edit},
    {"project get",
     "Print a config key of a project",
     kProjectKey,
     {},
     "",
     "project get web limits.instances",
     run_project_get},
    {"project set",
     "Set config keys of a project",
     kProjectSettings,
     {},
     "",
     "project set web limits.memory=4GiB restricted=true",
     run_project_set},
    {"project unset",
     "Remove a config key of a project",
     kProjectKey,
     {},
     "",
     "project unset web limits.memory",
     run_project_unset},
    {"project rename",
     "Rename an empty project",
     kTwoProjectNames,
     {},
     "",
     "project rename web site",
     run_project_rename},
    {"project switch",
     "Work in a project from now on",
     kProjectOnly,
     {},
     "In which project a single command works is said with --project.",
     "project switch web",
     run_project_switch},
    {"project info", "Show what a project uses, and its limits", kProjectOnly, kProjectListOptions, "",
     "project info web", run_project_info},
};

}  // namespace

std::span<const Command> project_commands() { return kProjectCommands; }

}  // namespace lxmgr::cli
