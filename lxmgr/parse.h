#pragma once
#include <string>
#include <variant>
#include <vector>

#include "lxmgr/command.h"

namespace lxmgr::cli {

struct GlobalOptions {
    bool quiet = false;
    std::string remote;   ///< of a word "NAME:"; empty: none was given
    std::string project;  ///< of --project; empty: none was given
};

/// A command to run with its arguments.
struct Invocation {
    const Command* command = nullptr;
    Args args;
    GlobalOptions global;
};
/// Text to print instead: help, version, or a usage error.
struct Message {
    std::string text;
    int exit_status = 0;
};

/// Reads the words after the program's name.
std::variant<Invocation, Message> parse(const std::vector<std::string>& arguments);

/// Key of an option in Args: "force" for "-f,--force".
std::string option_key(const Option& option);
/// "lxmgr config set [INSTANCE] KEY=VALUE..."
std::string usage_line(const Command& command);

}  // namespace lxmgr::cli
