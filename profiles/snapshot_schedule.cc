#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <ctime>

#include "lxd-daemon/base/strings.h"
#include "profiles/snapshot_keys.h"

namespace lxmgr::profiles {
namespace {

using Set = std::bitset<60>;

struct Field {
    const char* name;
    int min, max;
    std::string_view words;  ///< three letters each, for min and on
};
constexpr std::array<Field, 5> kFields{{{"minute", 0, 59, ""},
                                        {"hour", 0, 23, ""},
                                        {"day of month", 1, 31, ""},
                                        {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
                                        {"day of week", 0, 7, "sunmontuewedthufrisat"}}};

struct Cron {
    std::array<Set, 5> sets;
    bool any_day = false, any_weekday = false;  ///< "*": only the other one counts
};

std::unexpected<Error> bad_schedule(std::string_view why) {
    return fail(
        Status::bad_request,
        fmt::format("{}: give a cron line of five fields, or @hourly, @daily, @midnight, @weekly, @monthly, "
                    "@annually, @yearly, @startup or @never, with commas between several",
                    why));
}

Result<int> parse_number(std::string_view text, const Field& field) {
    if (text.size() == 3) {
        std::string lower(text);
        std::ranges::transform(lower, lower.begin(),
                               [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
        const auto at = field.words.find(lower);
        if (at != std::string_view::npos && at % 3 == 0) return field.min + static_cast<int>(at / 3);
    }
    const auto number = parse_int(text);
    if (number && *number >= field.min && *number <= field.max) return static_cast<int>(*number);
    return bad_schedule(fmt::format("'{}' is no {}", text, field.name));
}

/// "*", "5", "1-5", any of them with "/2".
Result<> add_part(const std::string& part, const Field& field, Set& set) {
    const auto slash = part.find('/');
    const std::string range = part.substr(0, slash);
    std::int64_t step = 1;
    if (slash != std::string::npos) {
        const auto number = parse_int(part.substr(slash + 1));
        if (!number || *number < 1 || *number > 59)
            return bad_schedule(fmt::format("'{}' has a bad step", part));
        step = *number;
    }
    int first = field.min, last = field.max;
    if (range != "*") {
        const auto dash = range.find('-');
        LX_TRY_AS(first, parse_number(range.substr(0, dash), field));
        last = slash == std::string::npos ? first : field.max;
        if (dash != std::string::npos) {
            LX_TRY_AS(last, parse_number(range.substr(dash + 1), field));
        }
        if (last < first) return bad_schedule(fmt::format("'{}' goes backwards", part));
    }
    for (int value = first; value <= last; value += static_cast<int>(step))
        set.set(static_cast<std::size_t>(value));
    return {};
}

Result<Cron> parse_cron(const std::string& text) {
    std::vector<std::string> words;
    for (const auto& word : split(text, ' ')) {
        if (!word.empty()) words.push_back(word);
    }
    if (words.size() != kFields.size()) return bad_schedule(fmt::format("'{}' has not five fields", text));
    Cron cron;
    for (std::size_t i = 0; i < kFields.size(); ++i) {
        for (const auto& part : split(words[i], ',')) LX_TRY(add_part(part, kFields[i], cron.sets[i]));
    }
    if (cron.sets[4].test(7)) cron.sets[4].set(0);
    cron.any_day = words[2].starts_with('*');
    cron.any_weekday = words[4].starts_with('*');
    return cron;
}

struct Alias {
    std::string_view name, line;
};
constexpr std::array<Alias, 9> kAliases{{{"@hourly", "0 * * * *"},
                                         {"@daily", "0 0 * * *"},
                                         {"@midnight", "0 0 * * *"},
                                         {"@weekly", "0 0 * * 0"},
                                         {"@monthly", "0 0 1 * *"},
                                         {"@annually", "0 0 1 1 *"},
                                         {"@yearly", "0 0 1 1 *"},
                                         {"@startup", ""},
                                         {"@never", ""}}};

Result<std::vector<Cron>> parse_schedule(std::string_view text) {
    const std::string all(trim(text));
    std::vector<Cron> out;
    if (!all.starts_with('@')) {
        LX_TRY_AS(const Cron cron, parse_cron(all));
        out.push_back(cron);
        return out;
    }
    for (const auto& part : split(all, ',')) {
        const std::string word(trim(part));
        const auto alias =
            std::ranges::find_if(kAliases, [&](const Alias& known) { return known.name == word; });
        if (alias == kAliases.end()) return bad_schedule(fmt::format("'{}' is not known", word));
        if (alias->line.empty()) continue;
        LX_TRY_AS(const Cron cron, parse_cron(std::string(alias->line)));
        out.push_back(cron);
    }
    return out;
}

bool has(const Set& set, int value) { return set.test(static_cast<std::size_t>(value)); }

bool is_day(const Cron& cron, const tm& day) {
    if (!has(cron.sets[3], day.tm_mon + 1)) return false;
    const bool by_month = has(cron.sets[2], day.tm_mday), by_week = has(cron.sets[4], day.tm_wday);
    // crontab(5): when both are restricted, one of them is enough.
    return cron.any_day || cron.any_weekday ? by_month && by_week : by_month || by_week;
}

/// The first time of that day after `after`; 0: none.
std::time_t first_on(const Cron& cron, const tm& day, std::time_t after) {
    for (int hour = 0; hour < 24; ++hour) {
        if (!has(cron.sets[1], hour)) continue;
        for (int minute = 0; minute < 60; ++minute) {
            if (!has(cron.sets[0], minute)) continue;
            tm moment{};
            moment.tm_year = day.tm_year;
            moment.tm_mon = day.tm_mon;
            moment.tm_mday = day.tm_mday;
            moment.tm_hour = hour;
            moment.tm_min = minute;
            moment.tm_isdst = -1;
            const std::time_t at = ::mktime(&moment);
            if (at > after) return at;
        }
    }
    return 0;
}

std::time_t next_of(const Cron& cron, std::time_t after) {
    constexpr int kDays = 8 * 366 + 1;  // a 29 February may be eight years away
    tm today{};
    if (::localtime_r(&after, &today) == nullptr) return 0;
    for (int i = 0; i < kDays; ++i) {
        tm day{};
        day.tm_year = today.tm_year;
        day.tm_mon = today.tm_mon;
        day.tm_mday = today.tm_mday + i;
        day.tm_hour = 12;  // exists in every time zone on every day
        day.tm_isdst = -1;
        if (::mktime(&day) == -1 || !is_day(cron, day)) continue;
        if (const std::time_t at = first_on(cron, day, after); at != 0) return at;
    }
    return 0;
}

}  // namespace

Result<Time> next_scheduled(std::string_view text, Time after) {
    LX_TRY_AS(const auto crons, parse_schedule(text));
    const auto seconds = std::chrono::floor<std::chrono::seconds>(after).time_since_epoch().count();
    std::time_t best = 0;
    for (const auto& cron : crons) {
        const std::time_t at = next_of(cron, static_cast<std::time_t>(seconds));
        if (at != 0 && (best == 0 || at < best)) best = at;
    }
    return Time(std::chrono::seconds(best));
}

bool is_scheduled_at_startup(std::string_view text) {
    const auto parts = split(std::string(text), ',');
    return std::ranges::any_of(parts, [](const std::string& part) { return trim(part) == "@startup"; });
}

}  // namespace lxmgr::profiles
