#pragma once
#include <string>

namespace lxmgr::cli {

/// lxmgr(1) in man(7)'s language: every command of the table.
std::string manual_page();

}  // namespace lxmgr::cli
