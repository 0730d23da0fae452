#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

/// A command is a row of data: its words, operands, options and function. The parser (app.cc), the help, the
/// shell completions and docs/reference/cli.md are all made from these rows.
namespace lxmgr::cli {

class Client;

/// What a word on the command line names; shell completion asks the daemon for the candidates.
enum class Kind { text, instance, image, profile, network, pool, operation, file, instance_file };

enum class Count {
    one,
    optional,
    some,
    any,
    rest
};  ///< rest: everything that follows, options of others included

struct Operand {
    const char* name;
    Count count = Count::one;
    Kind kind = Kind::text;
};

struct Option {
    const char* names;  ///< "-f,--force"; the last one is its key in Args
    const char* value;  ///< placeholder of its value; empty: a flag
    const char* help;
    bool repeated = false;
    const char* choices = "";  ///< "table|json": anything else is a usage error
    const char* preset = "";
};

/// What was typed, already checked against the row. Keys are long option names without dashes and operand
/// names.
class Args {
public:
    [[nodiscard]] bool flag(std::string_view option) const;
    /// Value of an option or operand; its preset, or empty, when it was not given.
    [[nodiscard]] const std::string& text(std::string_view key) const;
    [[nodiscard]] bool given(std::string_view key) const;
    [[nodiscard]] const std::vector<std::string>& list(std::string_view key) const;

    std::map<std::string, std::vector<std::string>, std::less<>> values;
    std::string command;  ///< "config set": for messages
};

struct Command {
    const char* path;  ///< "list", "config device add"
    const char* summary;
    std::span<const Operand> operands;
    std::span<const Option> options;
    const char* details;   ///< paragraphs for the help; may be empty
    const char* examples;  ///< lines without the leading "lxmgr "; may be empty
    /// Returns the exit status.
    Result<int> (*run)(Client& client, const Args& args);
    bool hidden = false;
    const char* alias = "";  ///< other last word: "ls" for "list"
};

/// Every command of the program in the order of the help.
std::vector<const Command*> all_commands();

/// A mistake on the command line that only the command could see.
/// Prints the message and where to read more; returns exit status 2.
int misuse(const Args& args, std::string_view message);

inline constexpr Option kFormatOption = {"-f,--format",
                                         "FORMAT",
                                         "how to print: table, compact, csv, json or yaml",
                                         false,
                                         "table|compact|csv|json|yaml",
                                         "table"};

}  // namespace lxmgr::cli
