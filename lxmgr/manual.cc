#include "lxmgr/manual.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/command.h"
#include "lxmgr/parse.h"

namespace lxmgr::cli {
namespace {

/// Text as it is: no line of it is a request, no backslash an escape, no dash a hyphen (man(7),
/// groff_char(7)).
std::string roff(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool at_start = out.empty() || out.back() == '\n';
        if (at_start && (c == '.' || c == '\'')) out += "\\&";
        if (c == '\\') {
            out += "\\e";
        } else if (c == '-') {
            out += "\\-";
        } else {
            out += c;
        }
    }
    return out;
}

std::string manual_option(const Option& option) {
    const std::string names = fmt::format("{}", fmt::join(split(option.names, ','), ", "));
    std::string text = fmt::format(".TP\n\\fB{}\\fR", roff(names));
    if (*option.value != '\0') text += fmt::format(" \\fI{}\\fR", roff(option.value));
    text += "\n" + roff(option.help);
    if (*option.preset != '\0') text += fmt::format(" (default {})", roff(option.preset));
    return text + "\n";
}

std::string manual_command(const Command& command) {
    std::string text = fmt::format(".SS lxmgr {}\n{}.\n.PP\n.nf\n{}\n.fi\n", roff(command.path),
                                   roff(command.summary), roff(usage_line(command)));
    if (*command.alias != '\0') text += fmt::format(".PP\nOther name: {}.\n", roff(command.alias));
    if (*command.details != '\0') text += fmt::format(".PP\n{}\n", roff(command.details));
    for (const auto& option : command.options) text += manual_option(option);
    if (*command.examples == '\0') return text;
    text += ".PP\nExamples:\n.PP\n.nf\n";
    for (const auto& line : split(command.examples, '\n')) text += roff("    lxmgr " + line) + "\n";
    return text + ".fi\n";
}

constexpr const char* kHead =
    ".SH NAME\nlxmgr \\- manage system containers\n"
    ".SH SYNOPSIS\n\\fBlxmgr\\fR \\fICOMMAND\\fR ...\n"
    ".SH DESCRIPTION\nTalks to\n.BR lxmgrd (8)\nover a unix socket: $LXMGR_SOCKET, else "
    "$LXMGR_DIR/unix.socket, else\n"
    "/var/lib/lxmgr/unix.socket. The exit status is 0 for success, 1 for a failure and 2 for a mistake on "
    "the command\n"
    "line; exec and shell end with the status of what they ran.\n"
    ".SH COMMANDS\n";

}  // namespace

std::string manual_page() {
    std::string text =
        fmt::format(".TH LXMGR 1 \"\" \"lxmgr {}\" \"User Commands\"\n{}", LXMGR_VERSION, kHead);
    for (const Command* command : all_commands()) {
        if (!command->hidden) text += manual_command(*command);
    }
    return text + ".SH SEE ALSO\n.BR lxmgrd (8)\n";
}

}  // namespace lxmgr::cli
