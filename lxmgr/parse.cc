#include "lxmgr/parse.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <memory>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/remotes.h"

namespace lxmgr::cli {
namespace {

constexpr const char* kIntro =
    "Runs system containers: whole Linux machines that start in milliseconds.\n"
    "First steps:  lxmgr init --auto;  lxmgr launch debian/12 dev;  lxmgr shell dev";

constexpr int kUsageError = 2;
constexpr const char* kProjectOption = "--project";

constexpr std::array<std::pair<std::string_view, const char*>, 14> kGroups{{
    {"file", "Copy, edit and delete files of instances"},
    {"config", "Read and change settings of instances and of the server"},
    {"device", "Read and change devices"},
    {"project", "Manage projects: sets of instances, images and profiles apart from others"},
    {"profile", "Manage profiles: sets of settings and devices"},
    {"image", "Manage images: what instances are made from"},
    {"alias", "Manage the names of images"},
    {"network", "Manage networks"},
    {"storage", "Manage storage pools"},
    {"remote", "Manage the servers that this client knows"},
    {"trust", "Manage the clients that the server trusts"},
    {"operation", "Look at and cancel background work"},
    {"admin", "Set up and shut down the server"},
    {"completion", "Print shell completions"},
}};

/// One command on its way through CLI11: where the words go.
struct Binding {
    const Command* command = nullptr;
    CLI::App* app = nullptr;
    std::map<std::string, std::vector<std::string>> values;
    std::map<std::string, bool> flags;
    std::vector<std::string> words;
};

std::string operand_text(const Operand& operand) {
    switch (operand.count) {
        case Count::one:
            return operand.name;
        case Count::optional:
            return fmt::format("[{}]", operand.name);
        case Count::some:
            return std::string_view(operand.name).ends_with("] KEY") ? operand.name
                                                                     : fmt::format("{}...", operand.name);
        case Count::any:
            return fmt::format("[{}...]", operand.name);
        case Count::rest:
            return fmt::format("[--] {}...", operand.name);
    }
    return {};
}

std::string path_of(const CLI::App* app) {
    const CLI::App* parent = app->get_parent();
    return parent == nullptr ? app->get_name() : path_of(parent) + " " + app->get_name();
}

/// CLI11's help with our usage line and with options in two columns that fit.
class Formatter : public CLI::Formatter {
public:
    explicit Formatter(std::map<const CLI::App*, const Command*>& commands) : commands_(commands) {
        column_width(34);
    }
    std::string make_usage(const CLI::App* app, std::string /*name*/) const override {
        const auto at = commands_.find(app);
        if (at == commands_.end()) return fmt::format("Usage: {} COMMAND\n", path_of(app));
        return fmt::format("Usage: {}\n", usage_line(*at->second));
    }
    std::string make_positionals(const CLI::App*) const override { return {}; }  // the usage line says it
    std::string make_option_opts(const CLI::Option* option) const override {
        return option->get_type_size() == 0 ? "" : " " + option->get_option_text();
    }

private:
    std::map<const CLI::App*, const Command*>& commands_;
};

std::string footer(const Command& command) {
    std::string text;
    if (*command.details != '\0') text += fmt::format("\n{}\n", command.details);
    if (*command.examples == '\0') return text;
    text += "\nExamples:\n";
    for (const auto& line : split(command.examples, '\n')) text += fmt::format("  lxmgr {}\n", line);
    return text;
}

void add_option(Binding& binding, const Option& option) {
    const std::string key = option_key(option);
    if (*option.value == '\0') {
        binding.app->add_flag(option.names, binding.flags[key], option.help);
        return;
    }
    auto* added = binding.app->add_option(option.names, binding.values[key], option.help);
    added->option_text(option.value)->expected(1)->allow_extra_args(false);
    if (option.repeated) {
        added->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    } else {
        added->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
    if (*option.choices != '\0') added->check(CLI::IsMember(split(option.choices, '|')));
}

constexpr int kManyWords = 1 << 20;

/// All words without a dash go to one list; distribute() gives them to the operands.
void add_operands(Binding& binding) {
    if (binding.command->operands.empty()) return;
    binding.app->add_option("WORDS", binding.words)->expected(0, kManyWords);
}

/// Gives each operand its words: the single ones exactly one, the repeated one what is left.
/// Returns what is wrong, or nothing.
std::string distribute(const Command& command, const std::vector<std::string>& words, Args& args) {
    const auto needs_one = [](const Operand& operand) {
        return operand.count == Count::one || operand.count == Count::some;
    };
    auto needed_later = static_cast<std::size_t>(std::ranges::count_if(command.operands, needs_one));
    std::size_t next = 0;
    for (const auto& operand : command.operands) {
        if (operand.count == Count::rest) continue;
        if (needs_one(operand)) --needed_later;
        const std::size_t left = words.size() - next;
        std::size_t take = left > needed_later ? left - needed_later : 0;
        if (operand.count == Count::one || operand.count == Count::optional)
            take = std::min<std::size_t>(take, 1);
        if (needs_one(operand)) take = std::max(take, std::min<std::size_t>(left, 1));
        if (take == 0 && needs_one(operand)) return fmt::format("{} is missing", operand.name);
        const auto from = words.begin() + static_cast<std::ptrdiff_t>(next);
        args.values[operand.name].assign(from, from + static_cast<std::ptrdiff_t>(take));
        next += take;
    }
    return next < words.size() ? fmt::format("'{}' is one word too many", words[next]) : "";
}

class Parser {
public:
    Parser() : app_(kIntro, "lxmgr"), formatter_(std::make_shared<Formatter>(commands_)) {
        app_.formatter(formatter_);
        app_.require_subcommand(1);
        app_.set_help_flag("-h,--help", "Say how to use this");
        app_.set_version_flag("--version", "lxmgr " LXMGR_VERSION, "Print the version of this program");
        app_.add_flag("-q,--quiet", global_.quiet, "Print errors and results only");
        // Cut off before CLI11 sees it, wherever it stands; declared for the help.
        app_.add_option(kProjectOption, "Work in this project")->option_text("NAME")->expected(1);
        app_.fallthrough();
        for (const Command* command : all_commands()) add(*command);
    }

    std::variant<Invocation, Message> parse(std::vector<std::string> arguments) {
        cut_leading_project(arguments);
        std::vector<std::string> rest = cut_rest(arguments);
        if (!cut_project(arguments, arguments.size()))
            return Message{"Error: --project needs the name of a project\n", kUsageError};
        cut_remote(arguments);
        std::ranges::reverse(arguments);  // CLI11 takes them from the back
        try {
            app_.parse(std::move(arguments));
        } catch (const CLI::ParseError& error) {
            return message(error);
        }
        return invocation(std::move(rest));
    }

private:
    void add(const Command& command) {
        CLI::App* parent = &app_;
        const auto words = split(command.path, ' ');
        for (std::size_t i = 0; i + 1 < words.size(); ++i) parent = group(*parent, words[i]);
        auto binding = std::make_unique<Binding>();
        binding->command = &command;
        binding->app = parent->add_subcommand(words.back(), command.summary);
        if (command.hidden) binding->app->group("");
        if (*command.alias != '\0') binding->app->alias(command.alias);
        binding->app->footer(footer(command));
        commands_[binding->app] = &command;
        add_operands(*binding);
        for (const auto& option : command.options) add_option(*binding, option);
        bindings_.push_back(std::move(binding));
    }

    CLI::App* group(CLI::App& parent, const std::string& name) {
        auto& made = groups_[{&parent, name}];
        if (made != nullptr) return made;
        made = parent.add_subcommand(name, group_summary(name));
        made->require_subcommand(1);
        return made;
    }

    static std::string group_summary(const std::string& name) {
        const auto at = std::ranges::find(kGroups, name, &std::pair<std::string_view, const char*>::first);
        return at == kGroups.end() ? "" : at->second;
    }

    /// The command that the words without a dash begin with; null: none of ours.
    static const Command* find(const std::vector<std::string>& arguments) {
        std::string typed;
        for (const auto& word : arguments) {
            if (word.starts_with('-')) continue;
            typed += (typed.empty() ? "" : " ") + word;
            const auto all = all_commands();
            const auto at = std::ranges::find(all, typed, &Command::path);
            if (at != all.end()) return *at;
        }
        return nullptr;
    }

    /// Cuts off what belongs to a last operand of Count::rest word for word: all that follows the operands
    /// before it.
    static std::vector<std::string> cut_rest(std::vector<std::string>& arguments) {
        const Command* command = find(arguments);
        if (command == nullptr || !takes_rest(*command)) return {};
        std::size_t words_left = split(command->path, ' ').size() + command->operands.size() - 1;
        auto at = arguments.begin();
        for (; at != arguments.end() && *at != "--"; ++at) {
            if ((has_value(*command, *at) || *at == kProjectOption) && at + 1 != arguments.end()) {
                ++at;
            } else if (!at->starts_with('-') && words_left-- == 0) {
                break;
            }
        }
        const bool marked = at != arguments.end() && *at == "--";
        std::vector<std::string> rest(marked ? at + 1 : at, arguments.end());
        arguments.erase(at, arguments.end());
        return rest;
    }

    /// Cuts --project NAME and --project=NAME out of the first words. False: there is no name.
    bool cut_project(std::vector<std::string>& arguments, std::size_t words) {
        const std::string with_value = std::string(kProjectOption) + "=";
        for (std::size_t i = 0; i < std::min(words, arguments.size());) {
            const auto at = arguments.begin() + static_cast<std::ptrdiff_t>(i);
            if (at->starts_with(with_value)) {
                global_.project = at->substr(with_value.size());
                arguments.erase(at);
            } else if (*at == kProjectOption) {
                if (i + 1 == arguments.size()) return false;
                global_.project = *std::next(at);
                arguments.erase(at, at + 2);
            } else {
                ++i;
            }
        }
        return true;
    }
    /// What stands before the command's words would hide them.
    void cut_leading_project(std::vector<std::string>& arguments) {
        while (!arguments.empty() && arguments.front().starts_with(kProjectOption) &&
               (arguments.front() != kProjectOption || arguments.size() > 1))
            cut_project(arguments, 1);
    }

    /// Image servers are written "NAME:" too.
    static bool names_image_servers(const Command* command) {
        return command != nullptr && std::ranges::any_of(command->operands, [](const Operand& operand) {
                   return operand.kind == Kind::image;
               });
    }

    /// A word "NAME:" stands for the server itself, in every command.
    void cut_remote(std::vector<std::string>& arguments) {
        const auto is_remote = [](const std::string& word) {
            return word.size() > 1 && word.find_first_of(":/=") == word.size() - 1 &&
                   !word.starts_with('-') && word.ends_with(':');
        };
        const auto found = std::ranges::find_if(arguments, is_remote);
        if (found == arguments.end()) return;
        const std::string name = found->substr(0, found->size() - 1);
        if (names_image_servers(find(arguments)) && !is_known_remote(name)) return;
        global_.remote = name;
        arguments.erase(found);
    }

    /// True for "--cwd" and "-e", whose value is the next word; false for "--cwd=/tmp".
    static bool has_value(const Command& command, const std::string& word) {
        return std::ranges::any_of(command.options, [&word](const Option& option) {
            const auto names = split(option.names, ',');
            return *option.value != '\0' && std::ranges::find(names, word) != names.end();
        });
    }

    static bool takes_rest(const Command& command) {
        return !command.operands.empty() && command.operands.back().count == Count::rest;
    }

    Message message(const CLI::ParseError& error) {
        std::ostringstream out;
        std::ostringstream err;
        const int status = app_.exit(error, out, err);
        if (status == 0) return {out.str(), 0};
        if (error.get_name() == "RequiredError") return incomplete();
        std::string text = error.what();
        std::replace(text.begin(), text.end(), '\n', ' ');
        return usage_error(text);
    }

    /// The words do not lead to a command: either there are none yet, or one that we do not know.
    Message incomplete() {
        const CLI::App* app = &app_;
        while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
        const auto unknown = app_.remaining(true);
        if (unknown.empty()) return {app->help(), kUsageError};
        return usage_error(fmt::format("There is no command '{}'", unknown.front()));
    }

    Message usage_error(std::string_view text) const {
        return {fmt::format("Error: {}\nSee '{} --help'\n", text, deepest_path()), kUsageError};
    }

    std::string deepest_path() const {
        std::string path = "lxmgr";
        const CLI::App* app = &app_;
        while (true) {
            const auto parsed = app->get_subcommands();
            if (parsed.empty()) return path;
            app = parsed.front();
            path += " " + app->get_name();
        }
    }

    std::variant<Invocation, Message> invocation(std::vector<std::string> rest) {
        for (const auto& binding : bindings_) {
            if (!binding->app->parsed()) continue;
            Invocation result{binding->command, {}, global_};
            result.args.command = binding->command->path;
            result.args.values.insert(binding->values.begin(), binding->values.end());
            for (const auto& [key, on] : binding->flags) {
                if (on) result.args.values[key] = {"true"};
            }
            const std::string wrong = distribute(*binding->command, binding->words, result.args);
            if (!wrong.empty()) return usage_error(wrong);
            if (takes_rest(*binding->command)) {
                result.args.values[binding->command->operands.back().name] = std::move(rest);
            }
            apply_presets(*binding->command, result.args);
            return result;
        }
        return Message{"Error: A command is required\nSee 'lxmgr --help'\n", kUsageError};
    }

    static void apply_presets(const Command& command, Args& args) {
        for (const auto& option : command.options) {
            auto& value = args.values[option_key(option)];
            if (value.empty() && *option.preset != '\0') value = {option.preset};
        }
    }

    CLI::App app_;
    std::map<const CLI::App*, const Command*> commands_;
    std::shared_ptr<Formatter> formatter_;
    std::map<std::pair<const CLI::App*, std::string>, CLI::App*> groups_;
    std::vector<std::unique_ptr<Binding>> bindings_;
    GlobalOptions global_;
};

}  // namespace

std::string option_key(const Option& option) {
    const std::string last = split(option.names, ',').back();
    return last.substr(last.find_first_not_of('-'));
}

std::string usage_line(const Command& command) {
    std::string line = fmt::format("lxmgr {}", command.path);
    if (!command.options.empty()) line += " [OPTIONS]";
    for (const auto& operand : command.operands) line += " " + operand_text(operand);
    return line;
}

std::variant<Invocation, Message> parse(const std::vector<std::string>& arguments) {
    return Parser().parse(arguments);
}

}  // namespace lxmgr::cli
