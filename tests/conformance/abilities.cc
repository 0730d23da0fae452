#include "tests/conformance/abilities.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "lxd-daemon/base/files.h"

namespace lxmgr::conformance {
namespace {

constexpr const char* kPage = "docs/reference/storage-drivers.md";  // tests run in the repository's root
/// What is seen together is shown together: lvm is seen in another machine.
struct Table {
    std::string begin, end;
    bool of_lvm;
};
const Table kTables[] = {
    {"<!-- abilities: written by tests/conformance -->\n", "<!-- end of abilities -->\n", false},
    {"<!-- abilities of lvm: written by tests/conformance in tests/vm -->\n",
     "<!-- end of abilities of lvm -->\n", true},
};

std::map<std::string, std::map<std::string, bool>>& noted() {
    static std::map<std::string, std::map<std::string, bool>> all;  // by ability, then column
    return all;
}

std::string column_of(const Case& what) { return fmt::format("`{}` on {}", what.driver, what.file_system); }

std::vector<std::string> columns(const Table& table) {
    std::vector<std::string> out;
    for (const auto& one : cases()) {
        if (one.kernel == Kernel::as_it_is && (one.driver == "lvm") == table.of_lvm)
            out.push_back(column_of(one));
    }
    return out;
}

bool is_complete(const std::vector<std::string>& columns) {
    for (const auto& [ability, seen] : noted()) {
        for (const auto& column : columns) {
            if (!seen.contains(column)) return false;
        }
    }
    return !noted().empty() && !columns.empty();
}

std::string text_of(const std::vector<std::string>& columns) {
    std::string out = "| |";
    for (const auto& column : columns) out += fmt::format(" {} |", column);
    out += "\n|---|";
    for (std::size_t i = 0; i < columns.size(); ++i) out += "---|";
    for (const auto& [ability, seen] : noted()) {
        out += fmt::format("\n| {} |", ability);
        for (const auto& column : columns) out += seen.at(column) ? " yes |" : " no |";
    }
    return out + "\n";
}

bool is_current(const Table& table) {
    const auto shown = columns(table);
    if (!is_complete(shown)) return true;  // only some of the tests ran
    const std::string page = read_file(kPage).value_or("");
    const auto begin = page.find(table.begin), end = page.find(table.end);
    if (begin == std::string::npos || end == std::string::npos) {
        std::fprintf(stderr, "%s has no place for a table of abilities\n", kPage);
        return false;
    }
    const std::size_t from = begin + table.begin.size();
    const std::string now = page.substr(from, end - from), wanted = text_of(shown);
    if (now == wanted) return true;
    if (std::getenv("LXMGR_WRITE_ABILITIES") != nullptr)
        return write_file_atomic(kPage, page.substr(0, from) + wanted + page.substr(end)).has_value();
    std::fprintf(stderr, "%s is not what the drivers can do (LXMGR_WRITE_ABILITIES=1 writes it):\n%s", kPage,
                 wanted.c_str());
    return false;
}

}  // namespace

void note_ability(const Case& what, const std::string& ability, bool has) {
    if (what.kernel == Kernel::as_it_is) noted()[ability][column_of(what)] = has;
}

bool abilities_are_current() {
    return std::ranges::all_of(kTables, [](const Table& table) { return is_current(table); });
}

}  // namespace lxmgr::conformance
