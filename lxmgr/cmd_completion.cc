#include <fmt/format.h>

#include <cstdio>

#include "lxmgr/commands.h"
#include "lxmgr/complete.h"
#include "lxmgr/manual.h"
#include "lxmgr/object.h"

namespace lxmgr::cli {
namespace {

// The shells only hand the words over; what they may become is computed by `lxmgr __complete` from the
// command table.
constexpr const char* kBash = R"(_lxmgr() {
    local IFS=$'\n'
    COMPREPLY=($(lxmgr __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${COMPREPLY[0]} == */ ]] && compopt -o nospace
}
complete -o default -F _lxmgr lxmgr
)";
constexpr const char* kZsh = R"(#compdef lxmgr
_lxmgr() {
    local -a found
    found=("${(@f)$(lxmgr __complete -- "${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)}")
    if [[ -n ${found[1]} ]]; then
        compadd -- $found
    else
        _files
    fi
}
compdef _lxmgr lxmgr
)";
constexpr const char* kFish = R"(function __lxmgr_complete
    set -l words (commandline -opc)
    set -l found (lxmgr __complete -- $words[2..] (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c lxmgr -f -a '(__lxmgr_complete)'
)";

const char* collection_of(Kind kind) {
    switch (kind) {
        case Kind::instance:
        case Kind::instance_file:
            return "/1.0/instances";
        case Kind::image:
            return "/1.0/images/aliases?recursion=1";
        case Kind::profile:
            return "/1.0/profiles";
        case Kind::network:
            return "/1.0/networks";
        case Kind::pool:
            return "/1.0/storage-pools";
        case Kind::operation:
            return "/1.0/operations";
        case Kind::text:
        case Kind::file:
            break;
    }
    return nullptr;
}

/// Names from the daemon; none when it does not answer, because a completion must not print errors.
std::vector<std::string> names_of(Client& client, Kind kind) {
    std::vector<std::string> names;
    const char* path = collection_of(kind);
    const auto list = path == nullptr ? Result<Json>(Json::array()) : client.get(path);
    if (!list || !list->is_array()) return names;
    for (const auto& item : *list) {
        names.push_back(item.is_string() ? last_segment(item.get<std::string>()) : text_member(item, "name"));
    }
    return names;
}

Result<int> run_complete(Client& client, const Args& args) {
    const auto lister = [&client](Kind kind) { return names_of(client, kind); };
    for (const auto& word : candidates(args.list("WORDS"), lister)) fmt::print("{}\n", word);
    return 0;
}

Result<int> run_reference(Client&, const Args&) {
    std::fputs(markdown_reference().c_str(), stdout);
    return 0;
}

Result<int> run_manual(Client&, const Args&) {
    std::fputs(manual_page().c_str(), stdout);
    return 0;
}

Result<int> run_bash(Client&, const Args&) {
    std::fputs(kBash, stdout);
    return 0;
}
Result<int> run_zsh(Client&, const Args&) {
    std::fputs(kZsh, stdout);
    return 0;
}
Result<int> run_fish(Client&, const Args&) {
    std::fputs(kFish, stdout);
    return 0;
}

constexpr Operand kWords[] = {{"WORDS", Count::rest}};
const Command kCompletionCommands[] = {
    {"completion bash",
     "Print the completion of bash",
     {},
     {},
     "",
     "completion bash > /etc/bash_completion.d/lxmgr",
     run_bash},
    {"completion zsh",
     "Print the completion of zsh",
     {},
     {},
     "",
     "completion zsh > /usr/local/share/zsh/site-functions/_lxmgr",
     run_zsh},
    {"completion fish",
     "Print the completion of fish",
     {},
     {},
     "",
     "completion fish > ~/.config/fish/completions/lxmgr.fish",
     run_fish},
    {"__complete", "What the words may become", kWords, {}, "", "", run_complete, true},
    {"__reference", "Print docs/reference/cli.md", {}, {}, "", "", run_reference, true},
    {"__manual", "Print lxmgr(1)", {}, {}, "", "", run_manual, true},
};

}  // namespace

std::span<const Command> completion_commands() { return kCompletionCommands; }

}  // namespace lxmgr::cli
