#include "lxmgr/complete.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/parse.h"

namespace lxmgr::cli {
namespace {

using Words = std::vector<std::string>;

Words matching(const Words& all, const std::string& beginning) {
    Words kept;
    for (const auto& word : all) {
        if (word.starts_with(beginning) && std::ranges::find(kept, word) == kept.end()) kept.push_back(word);
    }
    return kept;
}

/// The next words of all commands that begin with these.
Words subcommands(const Words& typed) {
    Words next;
    for (const Command* command : all_commands()) {
        const Words path = split(command->path, ' ');
        if (command->hidden || path.size() <= typed.size()) continue;
        if (std::equal(typed.begin(), typed.end(), path.begin())) next.push_back(path[typed.size()]);
    }
    return next;
}

struct Found {
    const Command* command = nullptr;
    std::size_t words = 0;  ///< how many words its name took
};

Found find_command(const Words& typed) {
    for (const Command* command : all_commands()) {
        const Words path = split(command->path, ' ');
        if (path.size() <= typed.size() && std::equal(path.begin(), path.end(), typed.begin()))
            return {command, path.size()};
    }
    return {};
}

const Option* option_named(const Command& command, const std::string& word) {
    for (const auto& option : command.options) {
        const Words names = split(option.names, ',');
        if (std::ranges::find(names, word) != names.end()) return &option;
    }
    return nullptr;
}

bool takes_value(const Option* option) { return option != nullptr && *option->value != '\0'; }

/// What an option's value names, by its placeholder.
Kind kind_of(const Option& option) {
    const std::string_view value = option.value;
    if (value == "PROFILE") return Kind::profile;
    if (value == "NETWORK") return Kind::network;
    if (value == "POOL") return Kind::pool;
    return value == "DIR" ? Kind::file : Kind::text;
}

Words operand_candidates(const Command& command, const Words& words, const Lister& names_of) {
    std::size_t position = 0;
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
        if (takes_value(option_named(command, words[i]))) {
            ++i;
        } else if (!words[i].starts_with('-')) {
            ++position;
        }
    }
    if (command.operands.empty()) return {};
    const auto last = command.operands.size() - 1;
    const Operand& operand = command.operands[std::min(position, last)];
    const bool many = operand.count == Count::some || operand.count == Count::any;
    if (position > last && !many && operand.count != Count::rest) return {};
    Words names = names_of(operand.kind);
    if (operand.kind == Kind::instance_file) {
        for (auto& name : names) name += "/";
    }
    return names;
}

std::string markdown_options(const Command& command) {
    std::string text;
    for (const auto& option : command.options) {
        const std::string names = fmt::format("{}", fmt::join(split(option.names, ','), ", "));
        text +=
            fmt::format("- `{}{}{}`: {}", names, *option.value != '\0' ? " " : "", option.value, option.help);
        if (*option.preset != '\0') text += fmt::format(" (default `{}`)", option.preset);
        text += "\n";
    }
    return text.empty() ? text : text + "\n";
}

std::string markdown_command(const Command& command) {
    std::string text =
        fmt::format("## lxmgr {}\n\n{}.\n\n    {}\n\n", command.path, command.summary, usage_line(command));
    if (*command.alias != '\0') text += fmt::format("Other name: `{}`.\n\n", command.alias);
    if (*command.details != '\0') text += fmt::format("{}\n\n", command.details);
    text += markdown_options(command);
    if (*command.examples == '\0') return text;
    text += "Examples:\n\n";
    for (const auto& line : split(command.examples, '\n')) text += fmt::format("    lxmgr {}\n", line);
    return text + "\n";
}

constexpr const char* kReferenceHead =
    "# The command line client\n\n"
    "<!-- Made by `lxmgr __reference`; a unit test compares. Edit the command's row in lxmgr/cmd_*.cc "
    "instead. -->\n\n"
    "`lxmgr` talks to the daemon over a unix socket: `$LXMGR_SOCKET`, else `$LXMGR_DIR/unix.socket`, else\n"
    "`/var/lib/lxmgr/unix.socket`. `-q` before or after a command prints errors and results only. Every "
    "command knows\n"
    "`--help`. The exit status is 0 for success, 1 for a failure and 2 for a mistake on the command line; "
    "`exec` and `shell`\n"
    "end with the status of what they ran.\n\n"
    "Shell completion: `lxmgr completion bash > /etc/bash_completion.d/lxmgr` (also `zsh` and `fish`).\n\n";

}  // namespace

Words candidates(const Words& words, const Lister& names_of) {
    if (words.empty()) return {};
    const std::string& current = words.back();
    const Words before(words.begin(), words.end() - 1);
    const Found found = find_command(before);
    if (found.command == nullptr) return matching(subcommands(before), current);
    if (std::ranges::find(before, "--") != before.end()) return {};  // words of a command inside an instance
    const Words rest(words.begin() + static_cast<std::ptrdiff_t>(found.words), words.end());
    const Option* open = rest.size() >= 2 ? option_named(*found.command, rest[rest.size() - 2]) : nullptr;
    if (takes_value(open)) {
        return matching(*open->choices != '\0' ? split(open->choices, '|') : names_of(kind_of(*open)),
                        current);
    }
    if (!current.starts_with('-'))
        return matching(operand_candidates(*found.command, rest, names_of), current);
    Words names{"--help"};
    for (const auto& option : found.command->options) names.push_back("--" + option_key(option));
    return matching(names, current);
}

std::string markdown_reference() {
    std::string text = kReferenceHead;
    for (const Command* command : all_commands()) {
        if (!command->hidden) text += markdown_command(*command);
    }
    text.pop_back();  // one newline at the end of the file
    return text;
}

}  // namespace lxmgr::cli
