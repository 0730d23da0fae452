#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lxd-daemon/base/files.h"
#include "lxmgr/commands.h"
#include "lxmgr/editor.h"
#include "lxmgr/local_tree.h"
#include "lxmgr/options.h"
#include "lxmgr/transfer.h"

namespace lxmgr::cli {
namespace {

bool is_directory(const std::string& path) {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Result<WantedAttributes> wanted_attributes(const Args& args) {
    WantedAttributes wanted;
    if (args.given("uid")) {
        LX_TRY_AS(wanted.uid, parse_number(args.text("uid"), "User id"));
    }
    if (args.given("gid")) {
        LX_TRY_AS(wanted.gid, parse_number(args.text("gid"), "Group id"));
    }
    if (args.given("mode")) {
        LX_TRY_AS(wanted.mode, parse_mode(args.text("mode")));
    }
    std::vector<std::string> asked;
    for (const char* name : {"uid", "gid", "mode"})
        if (args.given(name)) asked.emplace_back(name);
    wanted.existing_gets = fmt::format("{}", fmt::join(asked, ","));
    return wanted;
}

/// Pushes stdin: its size is not known.
Result<> push_stdin(RemoteFiles& files, const std::string& path, const WantedAttributes& wanted) {
    Progress progress(fmt::format("Pushing {}{}", files.instance(), path));
    return files.push_file(path, wanted, upload_of(STDIN_FILENO, std::nullopt, progress));
}

Result<int> run_push(Client& client, const Args& args) {
    const auto target = parse_instance_path(args.text("TARGET"));
    const auto wanted = wanted_attributes(args);
    if (!target) return misuse(args, target.error().message);
    if (!wanted) return misuse(args, wanted.error().message);
    const auto& sources = args.list("SOURCE");
    RemoteFiles files(client, target->instance);
    if (args.flag("create-dirs"))
        LX_TRY(files.make_parents(target->path.ends_with('/') ? target->path + "x" : target->path, *wanted));
    bool into = sources.size() > 1 || target->path.ends_with('/');
    if (!into) {
        LX_TRY_AS(const std::string type, files.type_of(target->path));
        into = type == "directory";
    }
    for (const auto& source : sources) {
        if (source == "-" && into)
            return misuse(args, "What comes from stdin needs a file name in the instance");
        const std::string path = into ? join_path(target->path, base_name(source)) : target->path;
        if (source == "-") {
            LX_TRY(push_stdin(files, path, *wanted));
        } else {
            LX_TRY(push_path(files, source, path, *wanted, args.flag("recursive")));
        }
    }
    return 0;
}

Result<> pull_to_stdout(RemoteFiles& files, const std::string& path) {
    LX_TRY_AS(auto opened, files.open_following(path));
    if (opened.attributes.type == "directory") {
        return fail(Status::bad_request,
                    fmt::format("{}{} is a directory and cannot go to stdout", files.instance(), path));
    }
    Progress progress(fmt::format("Pulling {}{}", files.instance(), path));
    return copy_body(*opened.body, STDOUT_FILENO, progress);
}

/// To a name that the user gave in full: a link there, as /dev/stdout, is the user's own.
Result<> pull_to_named_file(RemoteFiles& files, const std::string& path, const std::string& local) {
    LX_TRY_AS(auto opened, files.open_following(path));
    if (opened.attributes.type == "directory") {
        return fail(Status::bad_request,
                    fmt::format("{}{} is a directory; pull it with --recursive", files.instance(), path));
    }
    const UniqueFd fd(
        ::open(local.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, pulled_mode(opened.attributes.mode)));
    if (!fd) return fail_errno("create", local);
    Progress progress(fmt::format("Pulling {}{}", files.instance(), path));
    return copy_body(*opened.body, fd.get(), progress);
}

Result<> pull_one(RemoteFiles& files, const std::string& path, const std::string& target, const Args& args) {
    if (target == "-") return pull_to_stdout(files, path);
    if (args.flag("create-dirs"))
        LX_TRY(make_directories(target.ends_with('/') ? target : parent_path(target), 0755));
    const bool into = args.list("SOURCE").size() > 1 || target.ends_with('/') || is_directory(target);
    if (!into && !args.flag("recursive")) return pull_to_named_file(files, path, target);
    const std::string slash = target.contains('/') ? "" : "./";
    const std::string directory = into ? target : parent_path(slash + target);
    const std::string name = base_name(into ? path : target);
    LX_TRY_AS(const UniqueFd fd, open_user_directory(directory));
    return pull_entry(files, path, fd.get(), name, args.flag("recursive"));
}

Result<int> run_pull(Client& client, const Args& args) {
    for (const auto& source : args.list("SOURCE")) {
        const auto from = parse_instance_path(source);
        if (!from) return misuse(args, from.error().message);
        RemoteFiles files(client, from->instance);
        LX_TRY(pull_one(files, from->path, args.text("TARGET"), args));
    }
    return 0;
}

Result<int> run_file_delete(Client& client, const Args& args) {
    for (const auto& target : args.list("TARGET")) {
        const auto path = parse_instance_path(target);
        if (!path) return misuse(args, path.error().message);
        LX_TRY(RemoteFiles(client, path->instance).remove(path->path));
    }
    return 0;
}

Result<int> run_file_edit(Client& client, const Args& args) {
    const auto target = parse_instance_path(args.text("TARGET"));
    if (!target) return misuse(args, target.error().message);
    RemoteFiles files(client, target->instance);
    if (!::isatty(STDIN_FILENO)) {  // owner and permissions of the file stay when none are sent
        LX_TRY(push_stdin(files, target->path, {}));
        return 0;
    }
    LX_TRY_AS(const TemporaryDirectory directory, TemporaryDirectory::create());
    const std::string local = directory.path() + "/" + base_name(target->path);
    LX_TRY(pull_to_named_file(files, target->path, local));
    LX_TRY_AS(const std::string before, read_file(local));
    LX_TRY(open_editor(local));
    LX_TRY_AS(const std::string after, read_file(local));
    if (before == after) return 0;
    const UniqueFd fd(::open(local.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno("open", local);
    Progress progress("Writing back");
    LX_TRY(files.push_file(target->path, {}, upload_of(fd.get(), after.size(), progress)));
    return 0;
}

constexpr Operand kPushOperands[] = {{"SOURCE", Count::some, Kind::file},
                                     {"TARGET", Count::one, Kind::instance_file}};
constexpr Operand kPullOperands[] = {{"SOURCE", Count::some, Kind::instance_file},
                                     {"TARGET", Count::one, Kind::file}};
constexpr Operand kEditOperands[] = {{"TARGET", Count::one, Kind::instance_file}};
constexpr Operand kFileDeleteOperands[] = {{"TARGET", Count::some, Kind::instance_file}};
constexpr Option kRecursive = {"-r,--recursive", "", "whole directories"};
constexpr Option kParents = {"-p,--create-dirs", "", "make the directories that are missing"};
constexpr Option kPushOptions[] = {
    kRecursive,
    kParents,
    {"--uid", "UID", "owner in the instance; else as here"},
    {"--gid", "GID", "group in the instance; else as here"},
    {"--mode", "MODE", "permissions of files, such as 0644; else as here"},
};
constexpr Option kPullOptions[] = {kRecursive, kParents};
const Command kFileCommands[] = {
    {"file push", "Copy files into an instance", kPushOperands, kPushOptions,
     "TARGET is INSTANCE/PATH; with a trailing slash, or when it is a directory, files go into it. '-' is "
     "stdin.\n"
     "What exists keeps its owner and permissions, but for what --uid, --gid and --mode give a file.",
     "file push hosts dev/etc/hosts\nfile push -r ./site dev/var/www/ --uid 33 --gid 33\nfile push - "
     "dev/root/note.txt < note.txt",
     run_push},
    {"file pull", "Copy files out of an instance", kPullOperands, kPullOptions,
     "SOURCE is INSTANCE/PATH; '-' as TARGET is stdout. Symbolic links are followed inside the instance, and "
     "copied as\n"
     "links with --recursive. Setuid bits are dropped.",
     "file pull dev/etc/hosts .\nfile pull -r dev/var/log ./logs\nfile pull dev/etc/os-release -", run_pull},
    {"file edit",
     "Edit a file of an instance",
     kEditOperands,
     {},
     "Uses $VISUAL, $EDITOR or vi; takes stdin when it is no terminal.",
     "file edit dev/etc/hosts\nfile edit dev/etc/motd < motd",
     run_file_edit},
    {"file delete",
     "Delete files in an instance",
     kFileDeleteOperands,
     {},
     "",
     "file delete dev/tmp/core",
     run_file_delete,
     false,
     "rm"},
};

}  // namespace

std::span<const Command> file_commands() { return kFileCommands; }

}  // namespace lxmgr::cli
