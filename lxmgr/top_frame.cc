#include "lxmgr/top_frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lxmgr/object.h"
#include "lxmgr/text_width.h"
#include "lxmgr/units.h"

namespace lxmgr::cli {
namespace {

/// A counter; what an instance that does not run says (-1, nothing) is 0.
std::uint64_t counter_of(const Json& object, std::string_view key) {
    const Json& value = member(object, key);
    return value.is_number_integer() && value.get<std::int64_t>() > 0 ? value.get<std::uint64_t>() : 0;
}

struct TopRow {
    const TopCounters* counters = nullptr;
    double cpu_percent = 0;         ///< of one CPU
    double received = 0, sent = 0;  ///< bytes per second
};

/// A counter that went back was reset by a restart.
double rate(std::uint64_t before, std::uint64_t now, double seconds) {
    return now < before || seconds <= 0 ? 0.0 : static_cast<double>(now - before) / seconds;
}

std::vector<TopRow> rows_of(const TopSample& before, const TopSample& now) {
    const double seconds = std::chrono::duration<double>(now.at - before.at).count();
    std::vector<TopRow> rows;
    for (const auto& [key, counters] : now.instances) {
        TopRow row{.counters = &counters};
        if (const auto old = before.instances.find(key); old != before.instances.end()) {
            row.cpu_percent = rate(old->second.cpu_ns, counters.cpu_ns, seconds) / 1e7;
            row.received = rate(old->second.received_bytes, counters.received_bytes, seconds);
            row.sent = rate(old->second.sent_bytes, counters.sent_bytes, seconds);
        }
        rows.push_back(row);
    }
    return rows;
}

/// The biggest first; names from a to z.
void sort_rows(std::vector<TopRow>& rows, const TopView& view) {
    const auto weight = [&view](const TopRow& row) -> double {
        switch (view.sort) {
            case TopSort::cpu:
                return row.cpu_percent;
            case TopSort::memory:
                return static_cast<double>(row.counters->memory_bytes);
            case TopSort::processes:
                return static_cast<double>(row.counters->processes);
            case TopSort::network:
                return row.received + row.sent;
            case TopSort::name:
                break;
        }
        return 0;
    };
    std::ranges::stable_sort(rows, std::greater<>(), weight);
    if (view.reversed) std::ranges::reverse(rows);
}

std::string padded(const std::string& text, std::size_t width, bool to_the_right) {
    const auto taken = display_width(text);
    const std::string blanks(width > taken ? width - taken : 0, ' ');
    return to_the_right ? blanks + text : text + blanks;
}

std::vector<std::string> cells_of(const TopRow& row, const TopView& view) {
    const auto& counters = *row.counters;
    const auto per_second = [](double bytes) {
        return human_bytes(static_cast<std::uint64_t>(bytes)) + "/s";
    };
    std::vector<std::string> cells{printable(counters.name), printable(counters.state)};
    if (view.with_project) cells.insert(cells.begin() + 1, printable(counters.project));
    if (counters.processes == 0) {
        cells.resize(cells.size() + 5, "-");
        return cells;
    }
    cells.insert(cells.end(),
                 {fmt::format("{:.1f}", row.cpu_percent), human_bytes(counters.memory_bytes),
                  std::to_string(counters.processes), per_second(row.received), per_second(row.sent)});
    return cells;
}

std::string_view name_of(TopSort sort) {
    constexpr std::array<std::string_view, 5> kNames{"cpu", "memory", "processes", "network", "name"};
    return kNames.at(static_cast<std::size_t>(sort));
}

std::string title_line(const std::vector<TopRow>& rows, const TopView& view) {
    double cpu = 0;
    std::uint64_t memory = 0;
    std::size_t running = 0;
    for (const auto& row : rows) {
        cpu += row.cpu_percent;
        memory += row.counters->memory_bytes;
        running += row.counters->processes > 0 ? 1 : 0;
    }
    return fmt::format("{} instances, {} running; CPU {:.1f} %, memory {}; by {}{}", rows.size(), running,
                       cpu, human_bytes(memory), name_of(view.sort), view.reversed ? ", reversed" : "");
}

}  // namespace

TopSample top_sample(const Json& instances, std::chrono::steady_clock::time_point at) {
    TopSample out{.at = at, .instances = {}};
    for (const auto& instance : instances) {
        const Json& state = member(instance, "state");
        TopCounters counters{.name = text_member(instance, "name"),
                             .project = text_member(instance, "project"),
                             .state = text_member(instance, "status")};
        counters.cpu_ns = counter_of(member(state, "cpu"), "usage");
        counters.memory_bytes = counter_of(member(state, "memory"), "usage");
        counters.processes = counter_of(state, "processes");
        const Json& network = member(state, "network");
        for (const auto& [interface, shown] : network.items()) {
            if (!network.is_object() || interface == "lo") continue;
            counters.received_bytes += counter_of(member(shown, "counters"), "bytes_received");
            counters.sent_bytes += counter_of(member(shown, "counters"), "bytes_sent");
        }
        auto key = counters.project + "/" + counters.name;
        out.instances.emplace(std::move(key), std::move(counters));
    }
    return out;
}

bool change_view(TopView& view, char key) {
    constexpr std::string_view kKeys = "cmpna";
    if (key == 'r') {
        view.reversed = !view.reversed;
        return true;
    }
    const auto at = kKeys.find(key);
    if (at == std::string_view::npos) return false;
    view.sort = static_cast<TopSort>(at);
    return true;
}

std::vector<std::string> top_frame(const TopSample& before, const TopSample& now, const TopView& view,
                                   WindowSize size) {
    auto rows = rows_of(before, now);
    sort_rows(rows, view);
    std::vector<std::vector<std::string>> cells{
        {"NAME", "STATE", "CPU%", "MEMORY", "PROCESSES", "RECEIVED", "SENT"}};
    if (view.with_project) cells[0].insert(cells[0].begin() + 1, "PROJECT");
    for (const auto& row : rows) cells.push_back(cells_of(row, view));
    const std::size_t texts = cells[0].size() - 5;  // the others are numbers, which end at one column
    std::vector<std::size_t> widths(cells[0].size());
    for (const auto& line : cells) {
        for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], display_width(line[i]));
    }
    std::vector<std::string> lines{title_line(rows, view), ""};
    for (const auto& line : cells) {
        std::string& text = lines.emplace_back();
        for (std::size_t i = 0; i < line.size(); ++i)
            text += (i == 0 ? "" : "  ") + padded(line[i], widths[i], i >= texts);
    }
    if (size.height > 0 && lines.size() > static_cast<std::size_t>(size.height))
        lines.resize(static_cast<std::size_t>(size.height));
    if (size.width > 0) {
        for (auto& line : lines) line = truncate_width(line, static_cast<std::size_t>(size.width));
    }
    return lines;
}

}  // namespace lxmgr::cli
