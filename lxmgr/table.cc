#include "lxmgr/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/terminal.h"
#include "lxmgr/text_width.h"
#include "lxmgr/yaml.h"

namespace lxmgr::cli {
namespace {

/// A cell as the lines that are drawn.
std::vector<std::string> cell_lines(const std::string& cell) {
    std::vector<std::string> lines = split(cell, '\n');
    for (auto& line : lines) line = printable(line);
    return lines;
}

std::vector<std::size_t> column_widths(const Table& table) {
    std::vector<std::size_t> widths;
    for (const auto& title : table.header) widths.push_back(display_width(title));
    for (const auto& row : table.rows) {
        for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
            for (const auto& line : cell_lines(row[i])) widths[i] = std::max(widths[i], display_width(line));
        }
    }
    return widths;
}

struct Frame {
    std::string_view left, middle, right;
};

std::string draw_line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths,
                      const Frame& frame) {
    std::string line(frame.left);
    for (std::size_t i = 0; i < widths.size(); ++i) {
        const std::string cell = i < cells.size() ? cells[i] : std::string();
        if (i > 0) line += frame.middle;
        line += cell + std::string(widths[i] - std::min(widths[i], display_width(cell)), ' ');
    }
    line += frame.right;
    while (frame.right.empty() && line.ends_with(' ')) line.pop_back();
    return line + "\n";
}

/// A row whose cells may have several lines.
std::string draw_row(const std::vector<std::string>& row, const std::vector<std::size_t>& widths,
                     const Frame& frame) {
    std::vector<std::vector<std::string>> cells;
    std::size_t height = 1;
    for (const auto& cell : row) {
        cells.push_back(cell_lines(cell));
        height = std::max(height, cells.back().size());
    }
    std::string out;
    for (std::size_t y = 0; y < height; ++y) {
        std::vector<std::string> line;
        for (const auto& cell : cells) line.push_back(y < cell.size() ? cell[y] : "");
        out += draw_line(line, widths, frame);
    }
    return out;
}

std::string csv_cell(const std::string& cell) {
    if (cell.find_first_of(",\"\r\n") == std::string::npos) return cell;
    std::string out = "\"";
    for (const char c : cell) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + "\"";
}

}  // namespace

Format format_of(std::string_view name) {
    if (name == "compact") return Format::compact;
    if (name == "csv") return Format::csv;
    if (name == "json") return Format::json;
    if (name == "yaml") return Format::yaml;
    return Format::table;
}

std::string render_table(const Table& table) {
    const auto widths = column_widths(table);
    std::string rule = "+";
    for (const auto width : widths) rule += std::string(width + 2, '-') + "+";
    rule += "\n";
    constexpr Frame kFrame{"| ", " | ", " |"};
    std::string out = rule + draw_row(table.header, widths, kFrame) + rule;
    for (const auto& row : table.rows) out += draw_row(row, widths, kFrame) + rule;
    return out;
}

std::string render_compact(const Table& table) {
    const auto widths = column_widths(table);
    constexpr Frame kFrame{"", "  ", ""};
    std::string out = draw_row(table.header, widths, kFrame);
    for (const auto& row : table.rows) out += draw_row(row, widths, kFrame);
    return out;
}

std::string render_csv(const Table& table) {
    std::string out;
    for (const auto& row : table.rows) {
        for (std::size_t i = 0; i < row.size(); ++i) out += (i > 0 ? "," : "") + csv_cell(row[i]);
        out += "\n";
    }
    return out;
}

std::string render_json(const nlohmann::json& value) {
    return value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void print_list(Format format, const Table& table, const nlohmann::json& objects) {
    std::string text;
    switch (format) {
        case Format::table:
            text = render_table(table);
            break;
        case Format::compact:
            text = render_compact(table);
            break;
        case Format::csv:
            text = render_csv(table);
            break;
        case Format::json:
        case Format::yaml:
            return print_object(format, objects);
    }
    std::fputs(text.c_str(), stdout);
}

void print_object(Format format, const nlohmann::json& object) {
    const std::string text = format == Format::json ? render_json(object) : to_yaml(object);
    std::fputs(text.c_str(), stdout);
}

}  // namespace lxmgr::cli
