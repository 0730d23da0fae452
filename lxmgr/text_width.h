#pragma once
#include <cstddef>
#include <string>
#include <string_view>

/// Columns that text takes on a terminal, by Unicode and not by the process's locale.
namespace lxmgr::cli {

/// Columns of UTF-8 text: 2 for East Asian wide characters and emoji, 0 for combining marks and joiners, 1
/// for the rest (and for each byte that is not UTF-8). Source: Unicode 15 EastAsianWidth.txt (W, F) and
/// categories Mn, Me, Cf, in ranges.
std::size_t display_width(std::string_view text);
/// The longest beginning that fits the columns; ends in "…" when something was cut.
std::string truncate_width(std::string_view text, std::size_t columns);

}  // namespace lxmgr::cli
