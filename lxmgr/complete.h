#pragma once
#include <functional>
#include <string>
#include <vector>

#include "lxmgr/command.h"

namespace lxmgr::cli {

/// Names of what there is on the server, for an operand of this kind.
using Lister = std::function<std::vector<std::string>(Kind kind)>;

/// What the last of the words (maybe empty) may become: subcommands, options, values or names. Nothing means
/// that the shell should offer files.
std::vector<std::string> candidates(const std::vector<std::string>& words, const Lister& names_of);

/// docs/reference/cli.md: every command of the table.
std::string markdown_reference();

}  // namespace lxmgr::cli
