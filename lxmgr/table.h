#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

/// How lists are printed.
namespace lxmgr::cli {

enum class Format { table, compact, csv, json, yaml };
/// The value of -f; anything else was refused by the parser.
Format format_of(std::string_view name);

/// Rows of text; a cell may hold several lines. Cells are made harmless for terminals when drawn.
struct Table {
    std::vector<std::string> header;
    std::vector<std::vector<std::string>> rows;
};

/// Box drawing in ASCII, as scripts and eyes know it from LXD; each cell as wide as Unicode says.
std::string render_table(const Table& table);
/// Columns parted by two blanks, no lines.
std::string render_compact(const Table& table);
/// RFC 4180 without a header, lines end in \n; lines of a cell are kept.
std::string render_csv(const Table& table);
/// JSON as people read it: indented, one line at the end.
std::string render_json(const nlohmann::json& value);

/// Prints a list: rows for people, the objects themselves for machines.
void print_list(Format format, const Table& table, const nlohmann::json& objects);
/// Prints one object as YAML or JSON.
void print_object(Format format, const nlohmann::json& object);

}  // namespace lxmgr::cli
